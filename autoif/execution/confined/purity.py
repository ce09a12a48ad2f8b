"""The purity gate: which functions may share a process with others, and why not.

An allow-list over the syntax tree. What passes can compute on text and on values of its own; it cannot reach any
object that another function sees and can change. So a batch of such functions in one process gives what each gives
alone. The gate only decides about speed: the process they share is confined like any other, and whatever fails here,
or misbehaves, runs in a process of its own.

Allowed are: the node types below; names that the source itself binds, and pure builtins; attributes in one list, none
of which changes or leads to shared state (``append`` is in it, ``kwlist`` is not); imports of pure members of pure
modules. Refused are among others: classes (``__del__`` runs later), decorators, generators beside a ``try`` (their
``finally`` runs later, too), attribute assignment, ``global``, every dunder, ``getattr``, ``eval``, ``open``, ``type``
(it makes classes), ``random`` (shared state).
"""

from __future__ import annotations

import ast
from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NODES = frozenset(
    getattr(ast, name)
    for name in _words(
        "Module Expr Return Assign AugAssign AnnAssign Delete For While If Try Raise Assert Pass Break Continue "
        "FunctionDef Yield YieldFrom Lambda arguments arg keyword ExceptHandler Import ImportFrom alias Nonlocal "
        "BoolOp NamedExpr BinOp UnaryOp IfExp Dict Set ListComp SetComp DictComp GeneratorExp comprehension Compare "
        "Call FormattedValue JoinedStr Constant Attribute Subscript Starred Name List Tuple Slice "
        "Load Store Del And Or Add Sub Mult MatMult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv "
        "Invert Not UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn"
    )
)

_BUILTINS = _words(
    "abs all any ascii bin bool bytes callable chr complex dict divmod enumerate filter float format frozenset hex int "
    "isinstance issubclass iter len list map max min next object oct ord pow print range repr reversed round set slice "
    "sorted str sum tuple zip True False None Ellipsis NotImplemented __name__ "
    "ArithmeticError AssertionError AttributeError BaseException Exception IndexError KeyError LookupError MemoryError "
    "NameError OverflowError RecursionError RuntimeError StopIteration SyntaxError TypeError UnicodeError "
    "UnicodeDecodeError UnicodeEncodeError ValueError ZeroDivisionError"
)

_MODULES = {
    name: _words(members)
    for name, members in {
        "re": "compile search match fullmatch split findall finditer sub subn escape error Match Pattern A ASCII I "
        "IGNORECASE M MULTILINE S DOTALL X VERBOSE U UNICODE",
        "string": "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits punctuation printable "
        "whitespace capwords",
        "math": "ceil floor sqrt log log2 log10 exp pow fabs fmod gcd lcm isclose isnan isinf isfinite pi e inf nan "
        "factorial comb perm prod fsum hypot trunc isqrt sin cos tan",
        "json": "loads dumps JSONDecodeError",
        "collections": "Counter defaultdict OrderedDict deque",
        "itertools": "chain groupby combinations permutations product islice takewhile dropwhile zip_longest "
        "accumulate pairwise repeat starmap combinations_with_replacement filterfalse tee count cycle compress "
        "from_iterable",
        "functools": "reduce partial cmp_to_key",
        "datetime": "datetime date time timedelta timezone",
        "unicodedata": "category name normalize combining east_asian_width bidirectional decimal digit numeric",
        "typing": "Any Callable Dict FrozenSet Iterable Iterator List Literal Mapping Optional Sequence Set Tuple Type "
        "Union",
        "statistics": "mean median mode pstdev stdev variance pvariance fmean multimode",
        "textwrap": "dedent wrap fill shorten indent",
        "html": "escape unescape",
        "difflib": "SequenceMatcher get_close_matches ratio",
        "decimal": "Decimal InvalidOperation",
        "fractions": "Fraction",
        "heapq": "nlargest nsmallest heappush heappop heapify",
        "bisect": "bisect bisect_left bisect_right insort",
        "copy": "copy deepcopy",
        "__future__": "annotations",
    }.items()
}

_TYPES = (str, bytes, int, float, list, dict, set, frozenset, tuple)
_METHODS = frozenset(name for kind in _TYPES for name in dir(kind) if not name.startswith("_")) | _words(
    # match and pattern objects, counters, deques, dates, fractions, exceptions
    "group groups groupdict start end span pos endpos lastindex lastgroup string pattern flags groupindex expand "
    "most_common elements subtract total move_to_end appendleft popleft extendleft rotate maxlen "
    "year month day hour minute second microsecond weekday isoweekday isoformat strftime strptime fromisoformat "
    "total_seconds days seconds fromordinal toordinal timetuple combine "
    "get_matching_blocks get_opcodes quick_ratio find_longest_match quantize limit_denominator args msg lineno colno "
    "reason"
)

_ATTRIBUTES = frozenset.union(_METHODS, *_MODULES.values()) - {"format_map"}


def refusal(tree: ast.Module) -> str | None:
    """Why ``tree`` must run alone, or None when it may share a process. Never raises; linear in the tree."""
    bound: set[str] = set()
    loaded: set[str] = set()
    kinds: set[type] = set()
    nodes: list[Any] = [tree]
    for node in nodes:  # which grows as it goes; twice as fast as ast.walk
        kind = type(node)
        if kind is ast.Name:
            (loaded if type(node.ctx) is ast.Load else bound).add(node.id)
            continue
        if kind is ast.Constant or kind is str or node is None:  # the latter two in lists of names, of defaults
            continue
        kinds.add(kind)
        if kind is ast.Attribute:
            if node.attr not in _ATTRIBUTES:
                return f"attribute {node.attr}"
            if type(node.ctx) is not ast.Load:
                return f"assignment to attribute {node.attr}"
        elif kind not in _NODES:
            return kind.__name__
        elif kind is ast.FunctionDef:
            if node.decorator_list:
                return "decorator"
            bound.add(node.name)
        elif kind is ast.arg:
            bound.add(node.arg)
        elif kind is ast.ExceptHandler and node.name:
            bound.add(node.name)
        elif kind in (ast.Import, ast.ImportFrom):
            if foreign := _foreign(node):
                return f"import {foreign}"
            bound.update(alias.asname or alias.name for alias in node.names)
        for value in vars(node).values():
            if type(value) is list:
                nodes += value
            elif isinstance(value, ast.AST):
                nodes.append(value)
    if ast.Try in kinds and not kinds.isdisjoint((ast.Yield, ast.YieldFrom)):
        return "generator beside try"
    unknown = next((name for name in loaded if name not in bound and name not in _BUILTINS), None)
    unknown = unknown or next((name for name in bound if name.startswith("__")), None)
    return f"name {unknown}" if unknown else None


def _foreign(node: ast.Import | ast.ImportFrom) -> str | None:
    """What an import asks for that is not in the list."""
    if isinstance(node, ast.Import):
        return next((alias.name for alias in node.names if alias.name not in _MODULES), None)
    members = _MODULES.get(node.module or "", frozenset()) if node.level == 0 else frozenset()
    return next((f"{node.module}.{alias.name}" for alias in node.names if alias.name not in members), None)
