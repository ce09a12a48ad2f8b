"""What execution outcomes say: accuracy over the calls that are evidence.

A function that crashed, ran out of time or memory, or returned something other than a boolean says nothing about a
response; upstream counts such calls as 0 and turns good answers into DPO negatives (its fault 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from autoif.config import Bound, Counts
from autoif.execution import Job, JobResult, Outcome
from autoif.records import Function

if TYPE_CHECKING:
    from autoif.execution import ExecutionEngine

VERDICTS = frozenset({Outcome.TRUE, Outcome.FALSE})
EVIDENCE = VERDICTS | {Outcome.NONE}
"""None counts as "not True": functions that forget their last return mean False."""


def accuracy(
    outcomes: Sequence[Outcome], crashes: Counts = Counts.left_out, none: Counts = Counts.failed
) -> float | None:
    """Share of True among the outcomes that are evidence, in [0, 1]; None when none is (paper §3.2).

    ``crashes``: what an outcome that is no answer at all counts as; ``none``: what None does.
    """
    counted = EVIDENCE if none is Counts.failed else VERDICTS
    if crashes is Counts.failed:
        counted = frozenset(Outcome) - (EVIDENCE - counted)
    evidence = [outcome for outcome in outcomes if outcome in counted]
    return sum(outcome is Outcome.TRUE for outcome in evidence) / len(evidence) if evidence else None


def passes(value: float | None, threshold: float, bound: Bound) -> bool:
    """Whether a share or score is on the kept side of its threshold; an unknown one is not."""
    if value is None:
        return False
    return value > threshold if bound is Bound.above else value >= threshold


def agrees(outcome: Outcome, expected: bool) -> bool:
    """Whether a function's outcome on a case is the expected one; anything but that very boolean is not."""
    return outcome is (Outcome.TRUE if expected else Outcome.FALSE)


def matrices(
    engine: ExecutionEngine, groups: Iterable[tuple[Sequence[Function], Sequence[str]]]
) -> Iterator[list[JobResult]]:
    """For each (functions, inputs): one result a function, in order. Groups stream through the engine's workers.

    A function that the audit caught answering otherwise when alone gives no evidence: its calls count as skipped.
    """
    sizes: list[int] = []

    def jobs() -> Iterator[Job]:
        for functions, inputs in groups:
            sizes.append(len(functions))
            for function in functions:
                yield Job(function.code, inputs)

    group: list[JobResult] = []
    done = 0
    for result in engine.run(jobs()):
        # Groups without functions yield an empty matrix as soon as they are reached.
        while done < len(sizes) and sizes[done] == 0:
            yield []
            done += 1
        group.append(result if result.trusted else _silenced(result))
        if len(group) == sizes[done]:
            yield group
            group = []
            done += 1
    for size in sizes[done:]:
        if size == 0:
            yield []


def _silenced(result: JobResult) -> JobResult:
    return replace(result, outcomes=(Outcome.SKIPPED,) * len(result.outcomes))
