"""What a job child does: load functions, call them, write one byte for each call, leave without clean-up.

Values are never coerced: only the objects ``True``, ``False`` and ``None`` are themselves, everything else is OTHER.
"""

from __future__ import annotations

import ast
import builtins
import os
import re
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from . import purity
from .board import DETAILS_PER_JOB, Board
from .codes import DEFER, ERROR, FALSE, LOAD_ERROR, MEMORY, NONE, OTHER, TRUE

MODULE = "verifier"
"""Name of the module that a function's source becomes."""

_RECURSION = 1000
"""Frames a function may stack, counted from its call: the same in every lane."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_BOOLEANS = {"true": TRUE, "True": TRUE, "false": FALSE, "False": FALSE}


class Unloadable(Exception):
    """The function cannot be called: it does not compile, raises when loaded, or defines no ``evaluate``."""


def describe(value: Any) -> str:
    """Type and short repr, without memory addresses so that it is the same in every run; the type alone when the repr
    raises."""
    try:
        return _ADDRESS.sub("", f"{type(value).__name__}: {value!r:.1000}")
    except MemoryError:
        raise
    except BaseException:
        return _name(value)


def describe_error(error: BaseException) -> str:
    """Exception type and message on one line; the type alone when its text cannot be had."""
    try:
        return _ADDRESS.sub("", f"{type(error).__name__}: {error!s:.1000}".replace("\n", " ").rstrip(": "))
    except BaseException:
        return _name(error)


def _name(value: object, _of: Callable[[type], str] = type.__dict__["__name__"].__get__) -> str:
    """Name of the type, whatever its metaclass says."""
    return str.__str__(_of(type(value)))


def namespace(name: str) -> dict[str, Any]:
    """The namespace of a new, empty module that is importable under ``name``.

    Functions, imports and constants at module level share it, as in any module.
    """
    module = types.ModuleType(name)
    sys.modules[name] = module
    module.__dict__["__builtins__"] = builtins
    return module.__dict__


def compiled(source: str | ast.Module, name: str = MODULE) -> types.CodeType:
    """``source`` as a code object."""
    return compile(source, f"<{name}>", "exec", dont_inherit=True)


def evaluator(code: str | types.CodeType) -> Callable[[str], Any]:
    """The ``evaluate`` that a source or its code defines.

    Raises:
        Unloadable: when there is none; the text says why.
    """
    space = namespace(MODULE)
    try:
        exec(compiled(code) if isinstance(code, str) else code, space)
    except BaseException as error:
        raise Unloadable(describe_error(error)) from None
    evaluate = space.get("evaluate")
    if not callable(evaluate):
        raise Unloadable("no function named evaluate")
    return evaluate  # type: ignore[no-any-return]


def _gate(source: str, pure: bool) -> types.CodeType | None:
    """The code of a function that may share this process, else None."""
    try:
        if pure:
            return compiled(source)
        tree = ast.parse(source)
        return None if purity.refusal(tree) else compiled(tree)
    except BaseException:
        return None  # its own process will say what is wrong


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    return depth


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
            self._unloadable(0, len(inputs), str(error))
            return
        self._board.loading(None)
        out_of_memory = self._calls(evaluate, inputs, 0)
        if out_of_memory is not None:
            self._board.results[out_of_memory] = MEMORY

    def shared(self, jobs: Sequence[tuple[str, Sequence[str], bool]]) -> None:
        """Gate all ``jobs`` (source, inputs, known to be pure), then run those that passed, one after another.

        No untrusted code has run when the gate decides. Ends early when a function runs out of memory.
        """
        board = self._board
        codes: dict[str, types.CodeType | None] = {}
        position = 0
        for number, (source, inputs, pure) in enumerate(jobs):
            if source not in codes:
                board.loading(number)
                codes[source] = _gate(source, pure)
            if codes[source] is None:
                board.results[position : position + len(inputs)] = bytes([DEFER]) * len(inputs)
            position += len(inputs)
        position = 0
        for number, (source, inputs, _) in enumerate(jobs):
            code = codes[source]
            if code is not None:
                board.loading(number)
                try:
                    evaluate = evaluator(code)
                except Unloadable as error:
                    self._unloadable(position, len(inputs), str(error))
                else:
                    board.loading(None)
                    if self._calls(evaluate, inputs, position) is not None:
                        return
                    del evaluate
            position += len(inputs)

    def _unloadable(self, position: int, calls: int, why: str) -> None:
        self._board.explain(position, why)
        self._board.results[position : position + calls] = bytes([LOAD_ERROR]) * calls

    def _calls(self, evaluate: Callable[[str], Any], inputs: Sequence[str], position: int) -> int | None:
        """Call ``evaluate`` with each input. Returns the position at which memory ran out, else None: what is left of
        the process then is not to be trusted with the next call.
        """
        results = self._board.results
        self._explained = 0
        sys.setrecursionlimit(_depth() + _RECURSION)
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
                return position
            except BaseException as error:
                code = self._error(error, position)
            results[position] = code
            position += 1
        return None

    def program(self, source: str) -> None:
        """Run a whole program: TRUE when it ends without an exception."""
        self._board.loading(0)
        code = TRUE
        try:
            exec(compiled(source, "__main__"), namespace("__main__"))
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
            self._board.explain(position, describe_error(error))
        return ERROR


def leave(status: int, _exit: Callable[[int], Any] = os._exit) -> None:
    """End the process at once: no atexit handlers, no finalisers."""
    _exit(status)
