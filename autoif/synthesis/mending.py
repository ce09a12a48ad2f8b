"""Code that a model wrote and JSON distorted: newlines inside Python strings, escapes where newlines were meant.

A model that writes ``"func": "…split('\\n')…"`` means the escape, but JSON reads a newline, and Python refuses a string
that a line break cuts in two. Another one escapes twice, and the whole function is one line. Only code that does not
parse is touched, and only when it parses afterwards; anything else is left for execution to refuse by name.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}


def mend(code: str) -> str:
    """``code``, or what it was meant to be where that can be told."""
    if parses(code):
        return code
    return next((meant for meant in _meant(code) if parses(meant)), code)


def parses(code: str) -> bool:
    """Whether Python's grammar accepts ``code``; nothing is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stray escape in a model's string is no news
            ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def _meant(code: str) -> Iterator[str]:
    yield _joined(code)
    if "\n" not in code and "\\n" in code:
        unescaped = _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[0]), code)
        yield unescaped
        yield _joined(unescaped)


def _joined(code: str) -> str:
    """The code with line breaks and tabs inside one-line strings written as escapes."""
    out: list[str] = []
    quote, position = "", 0
    while position < len(code):
        character = code[position]
        if quote and character == "\\":
            out.append(code[position : position + 2])
            position += 2
            continue
        if not quote and character == "#":
            end = code.find("\n", position)
            end = len(code) if end < 0 else end
            out.append(code[position:end])
            position = end
            continue
        if character in "'\"":
            mark = code[position : position + 3] if code[position : position + 3] == character * 3 else character
            if not quote:
                quote = mark
            elif code.startswith(quote, position):
                mark, quote = quote, ""
            else:
                mark = character
            out.append(mark)
            position += len(mark)
            continue
        out.append({"\n": "\\n", "\r": "\\r"}.get(character, character) if len(quote) == 1 else character)
        position += 1
    return "".join(out)
