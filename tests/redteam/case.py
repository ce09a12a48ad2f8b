"""How a hostile function is written down."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent, indent

TIMEOUT, CRASH, ERROR, MEMORY = "timeout", "crash", "error", "memory"
LOAD, OTHER, FALSE, NONE = "load_error", "other", "false", "none"


@dataclass(frozen=True)
class Hostile:
    """``expected``: outcomes of the first call that count as contained. ``shared``: passes the purity gate."""

    name: str
    source: str
    expected: frozenset[str]
    shared: bool = False


def case(name: str, expected: str, source: str, shared: bool = False) -> Hostile:
    return Hostile(name, dedent(source).strip() + "\n", frozenset(expected.split()), shared)


def body(name: str, expected: str, body: str, shared: bool = False) -> Hostile:
    return case(name, expected, "def evaluate(response):\n" + indent(dedent(body).strip(), "    "), shared)


SYSCALL = "import ctypes\nreturn ctypes.CDLL(None, use_errno=True).{call} >= 0"
