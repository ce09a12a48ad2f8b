"""What a job child does: load functions, call them, write one byte for each call, leave without clean-up.

Values are never coerced: only the objects ``True``, ``False`` and ``None`` are themselves, everything else is OTHER.
"""

from __future__ import annotations

import builtins
import os
import re
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from .board import DETAILS_PER_JOB, Board
from .codes import ERROR, FALSE, LOAD_ERROR, MEMORY, NONE, OTHER, TRUE

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_BOOLEANS = {"true": TRUE, "True": TRUE, "false": FALSE, "False": FALSE}


class Unloadable(Exception):
    """The function cannot be called: it does not compile, raises when loaded, or defines no ``evaluate``."""


def describe(value: Any) -> str:
    """Type and short repr, without memory addresses so that it is the same in every run."""
    return _ADDRESS.sub("", f"{type(value).__name__}: {value!r:.1000}")


def describe_error(error: BaseException) -> str:
    """Exception type and message on one line."""
    return _ADDRESS.sub("", f"{type(error).__name__}: {error!s:.1000}".replace("\n", " ").rstrip(": "))


def load(source: str, name: str = "verifier") -> dict[str, Any]:
    """Execute ``source`` as a module of its own; returns its namespace.

    Functions, imports and constants at module level share that one namespace, as in any module.
    """
    module = types.ModuleType(name)
    sys.modules[name] = module
    namespace = module.__dict__
    namespace["__builtins__"] = builtins
    exec(compile(source, f"<{name}>", "exec", dont_inherit=True), namespace)
    return namespace


def evaluator(source: str) -> Callable[[str], Any]:
    """The ``evaluate`` that ``source`` defines.

    Raises:
        Unloadable: when there is none; the text says why.
        MemoryError: when loading took too much memory.
    """
    try:
        evaluate = load(source).get("evaluate")
    except MemoryError as error:
        raise Unloadable("MemoryError while loading") from error
    except BaseException as error:
        raise Unloadable(describe_error(error)) from error
    if not callable(evaluate):
        raise Unloadable("no function named evaluate")
    return evaluate


class Runner:
    """Calls functions and reports to the board. ``booleans``: map the strings true and false to the booleans."""

    def __init__(self, board: Board, booleans: bool) -> None:
        self._board = board
        self._strings = _BOOLEANS if booleans else {}
        self._explained = 0

    def own(self, source: str, inputs: Sequence[str]) -> None:
        """Load one function and call it with ``inputs``, results from position 0 on."""
        self._board.loading(0)
        try:
            evaluate = evaluator(source)
        except Unloadable as error:
            self.unloadable(0, len(inputs), str(error))
            return
        self._board.loading(None)
        self.calls(evaluate, inputs, 0)

    def unloadable(self, position: int, calls: int, why: str) -> None:
        """Report ``calls`` calls from ``position`` on as LOAD_ERROR."""
        self._board.explain(position, why)
        self._board.results[position : position + calls] = bytes([LOAD_ERROR]) * calls

    def calls(self, evaluate: Callable[[str], Any], inputs: Sequence[str], position: int) -> bool:
        """Call ``evaluate`` with each input. Returns False when it stopped for want of memory."""
        results = self._board.results
        self._explained = 0
        for text in inputs:
            try:
                value = evaluate(text)
                if value is True:
                    code = TRUE
                elif value is False:
                    code = FALSE
                elif value is None:
                    code = NONE
                else:
                    code = self._other(value, position)
            except MemoryError:
                # What is left of the process is not to be trusted with the next call.
                results[position] = MEMORY
                return False
            except BaseException as error:
                code = self._error(error, position)
            results[position] = code
            position += 1
        return True

    def program(self, source: str) -> None:
        """Run a whole program: TRUE when it ends without an exception."""
        self._board.loading(0)
        code = TRUE
        try:
            load(source, "__main__")
        except MemoryError:
            code = MEMORY
        except BaseException as error:
            code = self._error(error, 0)
        self._board.results[0] = code

    def _other(self, value: Any, position: int) -> int:
        if type(value) is str and value in self._strings:
            return self._strings[value]
        if self._explained < DETAILS_PER_JOB:
            self._explained += 1
            self._board.explain(position, describe(value))
        return OTHER

    def _error(self, error: BaseException, position: int) -> int:
        if self._explained < DETAILS_PER_JOB:
            self._explained += 1
            try:
                text = describe_error(error)
            except BaseException:
                text = type(error).__name__  # its __str__ raised
            self._board.explain(position, text)
        return ERROR


def leave(status: int, _exit: Callable[[int], Any] = os._exit) -> None:
    """End the process at once: no atexit handlers, no finalisers."""
    _exit(status)
