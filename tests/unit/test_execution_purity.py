"""Which functions may share a process: what models mostly write passes, what could reach another function does not."""

from __future__ import annotations

import ast

import pytest

from autoif.execution.bench import material
from autoif.execution.confined import purity

REFUSED = {
    "class with a finaliser": "class X:\n    def __del__(self): pass\ndef evaluate(r): return True",
    "decorator": "import functools\n@functools.lru_cache\ndef evaluate(r): return True",
    "generator": "def g():\n    try:\n        yield 1\n    finally:\n        pass\ndef evaluate(r): return True",
    "global": "n = 0\ndef evaluate(r):\n    global n\n    n += 1\n    return True",
    "attribute assignment": "import re\nre.compile = None\ndef evaluate(r): return True",
    "attribute augmented": "import re\nre.I += 1\ndef evaluate(r): return True",
    "attribute deleted": "import re\ndel re.compile\ndef evaluate(r): return True",
    "attribute as loop target": "import re\nfor re.compile in (1,): pass\ndef evaluate(r): return True",
    "dunder attribute": "def evaluate(r): return r.__class__",
    "dunder name": "def evaluate(r): return __builtins__",
    "dunder binding": "__builtins__ = {}\ndef evaluate(r): return True",
    "dunder parameter": "def evaluate(__builtins__): return True",
    "dunder import": "import re as __builtins__\ndef evaluate(r): return True",
    "getattr": "def evaluate(r): return getattr(r, 'upper')()",
    "eval": "def evaluate(r): return eval(r)",
    "open": "def evaluate(r): return open(r)",
    "type makes classes": "def evaluate(r): return type('X', (), {})",
    "format_map calls": "def evaluate(r): return '{x}'.format_map(r)",
    "unknown name": "def evaluate(r): return helper(r)",
    "random": "import random\ndef evaluate(r): return True",
    "time": "import time\ndef evaluate(r): return True",
    "sys": "import sys\ndef evaluate(r): return True",
    "submodule": "import os.path\ndef evaluate(r): return True",
    "relative": "from . import re\ndef evaluate(r): return True",
    "star": "from re import *\ndef evaluate(r): return True",
    "member outside the list": "from re import _cache\ndef evaluate(r): return True",
    "mutable module data": "import keyword\ndef evaluate(r): return keyword.kwlist.clear()",
    "mutable data through an attribute": "import html\ndef evaluate(r): return html.entities.html5.clear()",
    "attrgetter": "from operator import attrgetter\ndef evaluate(r): return attrgetter('__globals__')(evaluate)",
    "decimal context": "from decimal import getcontext\ndef evaluate(r): return getcontext()",
    "with": "import re\ndef evaluate(r):\n    with r: pass",
    "match": "def evaluate(r):\n    match r:\n        case str(): return True",
    "async": "async def evaluate(r): return True",
    "traceback": "def evaluate(r):\n    try: 1/0\n    except Exception as e: return e.__traceback__",
    "frame": "def evaluate(r):\n    try: 1/0\n    except Exception as e: return e.with_traceback(None)",
    "print to a file object": "import sys\ndef evaluate(r): print(r, file=sys.stderr)",
    "super": "def evaluate(r): return super()",
    "memoryview": "def evaluate(r): return memoryview(r)",
}


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED)
def test_what_could_reach_another_function_is_refused(source: str) -> None:
    assert purity.refusal(ast.parse(source))


def test_what_models_mostly_write_passes() -> None:
    verdicts = [purity.refusal(ast.parse(source)) for source in material.functions()]
    assert sorted(filter(None, verdicts)) == ["ClassDef"]
    assert len(verdicts) >= 60


def test_no_allowed_attribute_is_private_or_known_to_mutate_modules() -> None:
    assert not {name for name in purity._ATTRIBUTES if name.startswith("_")}
    assert not purity._ATTRIBUTES & {"register", "modules", "environ", "kwlist", "entities", "cache_clear", "gi_frame"}
    assert not purity._BUILTINS & {"getattr", "setattr", "type", "vars", "globals", "exec", "eval", "open", "input"}
