"""Automated quality cross verification: functions against cases, by execution (paper §3.1, step 3).

A case stays when more than ``case_threshold`` of the functions agree with it; a function when it is right on more
than ``function_threshold`` of the cases. A function that does not load is out before the vote, and so
is one that the audit saw answer differently in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from autoif.config import CrossVerifyConfig
from autoif.execution import JobResult, Outcome
from autoif.records import Case, Function, Reject, Verifier
from autoif.stage import Context, Estimate
from autoif.synthesis.evidence import agrees, matrices


def cross_verify(context: Context, verifiers: Sequence[Verifier]) -> Iterator[Verifier | Reject]:
    """Narrow each instruction to the functions and cases that confirm each other; drop it when too few are left."""
    config: CrossVerifyConfig = context.config
    engine = context.engines.execution
    context.facts["isolation"] = str(engine.isolation)
    groups = ((verifier.functions, inputs(verifier)) for verifier in verifiers)
    for verifier, matrix in zip(verifiers, matrices(engine, groups), strict=True):
        yield from narrow(verifier, matrix, config)


def inputs(verifier: Verifier) -> list[str]:
    """The cases' inputs, in the cases' order."""
    return [case.input for case in verifier.cases]


def narrow(verifier: Verifier, matrix: Sequence[JobResult], config: CrossVerifyConfig) -> Iterator[Verifier | Reject]:
    """The vote on one instruction. ``matrix``: one result a function, each with one outcome a case."""
    rows: list[tuple[Function, tuple[bool, ...]]] = []
    for function, result in zip(verifier.functions, matrix, strict=True):
        if result.outcomes and all(outcome is Outcome.LOAD_ERROR for outcome in result.outcomes):
            yield Reject(_part(verifier, functions=(function,)), "function_does_not_load", result.details.get(0, ""))
        elif not result.trusted:
            evidence = "; ".join(result.details.values())
            yield Reject(_part(verifier, functions=(function,)), "function_untrustworthy", evidence)
        else:
            pairs = zip(result.outcomes, verifier.cases, strict=True)
            rows.append((function, tuple(agrees(outcome, case.expected) for outcome, case in pairs)))
    cases, functions = [], []
    for i, case in enumerate(verifier.cases):
        rated_case = replace(case, accuracy=share([right[i] for _, right in rows]))
        if _passes(rated_case.accuracy, config.case_threshold):
            cases.append(rated_case)
        else:
            yield Reject(
                _part(verifier, cases=(rated_case,)), "case_below_threshold", f"accuracy {rated_case.accuracy:.2f}"
            )
    for function, right in rows:
        rated = replace(function, accuracy=share(right))
        if _passes(rated.accuracy, config.function_threshold):
            functions.append(rated)
        else:
            yield Reject(
                _part(verifier, functions=(rated,)), "function_below_threshold", f"accuracy {rated.accuracy:.2f}"
            )
    narrowed = _part(verifier, functions=tuple(functions), cases=tuple(cases))
    if len(functions) < config.min_functions:
        yield Reject(narrowed, "too_few_functions", f"{len(functions)} of {len(verifier.functions)} left")
    elif len(cases) < config.min_cases:
        yield Reject(narrowed, "too_few_cases", f"{len(cases)} of {len(verifier.cases)} left")
    else:
        yield narrowed


def share(flags: Sequence[bool]) -> float:
    """Share of True in [0, 1]; 0 of none."""
    return sum(flags) / len(flags) if flags else 0.0


def _passes(accuracy: float | None, threshold: float) -> bool:
    return (accuracy or 0.0) > threshold


def _part(verifier: Verifier, functions: tuple[Function, ...] = (), cases: tuple[Case, ...] = ()) -> Verifier:
    """The verifier with only these functions and cases: what is left of it, or the part that was dropped."""
    return replace(verifier, functions=functions, cases=cases)


def estimate(functions: int, verifiers: int) -> Estimate:
    """Every function on the cases of all samples: at most three a function."""
    return Estimate(records=verifiers, executions=verifiers * functions * functions * 3)
