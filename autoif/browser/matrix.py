"""Outcome matrices: each function of a verifier on each of its cases, by execution, one letter a call.

The store keeps shares, not matrices; they are made again for the reader, each (function, case) once however many
stages hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from autoif.records import digest

if TYPE_CHECKING:
    from autoif.execution import ExecutionEngine

LETTERS = {
    "true": "T",
    "false": "F",
    "none": "N",
    "other": "O",
    "error": "E",
    "memory": "M",
    "load_error": "L",
    "timeout": "X",
    "crash": "C",
    "skipped": "S",
}
"""Outcome → letter; the page has the same list."""
LIMIT = 200_000
"""Executions after which a browser goes on without matrices: a minute or two on a laptop."""


class _Function(msgspec.Struct):
    code: str


class _Case(msgspec.Struct):
    input: str


class _Verifier(msgspec.Struct):
    functions: list[_Function] = []
    cases: list[_Case] = []


class Matrices:
    """Executes what it has not seen yet, up to :data:`LIMIT` calls; ``left_out`` counts verifiers without a matrix."""

    def __init__(self, engine: ExecutionEngine, limit: int = LIMIT) -> None:
        self._engine, self._left = engine, limit
        self._known: dict[str, str] = {}
        self._decoder = msgspec.json.Decoder(_Verifier)
        self.left_out = 0

    def of(self, records: Sequence[bytes]) -> list[list[str] | None]:
        """For each verifier's JSON: one string a function, one letter a case. None where there is nothing to run."""
        from autoif.execution import Job

        verifiers = [self._decoder.decode(record) for record in records]
        new: dict[str, list[str]] = {}
        for verifier in verifiers:
            for function in verifier.functions:
                wanted = new.setdefault(function.code, [])
                wanted += (
                    case.input
                    for case in verifier.cases
                    if _key(function.code, case.input) not in self._known and case.input not in wanted
                )
        asked = [(code, inputs) for code, inputs in new.items() if inputs]
        self._left -= sum(len(inputs) for _, inputs in asked)
        if self._left >= 0:
            results = self._engine.run(Job(code, inputs) for code, inputs in asked)
            for (code, inputs), result in zip(asked, results, strict=True):
                for given, outcome in zip(inputs, result.outcomes, strict=True):
                    self._known[_key(code, given)] = LETTERS[outcome.value]
        return [self._matrix(verifier) for verifier in verifiers]

    def _matrix(self, verifier: _Verifier) -> list[str] | None:
        if not verifier.functions or not verifier.cases:
            return None
        try:
            return [
                "".join(self._known[_key(function.code, case.input)] for case in verifier.cases)
                for function in verifier.functions
            ]
        except KeyError:
            self.left_out += 1
            return None


def _key(code: str, given: str) -> str:
    return digest(code, given)
