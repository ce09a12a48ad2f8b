"""Automated quality cross verification: functions against cases, by execution (paper §3.1, step 3).

A case stays when more than ``case_threshold`` of the functions agree with it; a function when it is right on more
than ``function_threshold`` of the cases. A function that does not load is out before the vote, and so
is one that the audit saw answer differently in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from autoif.config import Bound, CaseScope, Contradiction, CrossVerifyConfig
from autoif.execution import JobResult, Outcome
from autoif.records import Case, Function, Reject, Verifier
from autoif.stage import Context, Estimate
from autoif.synthesis.evidence import agrees, matrices, passes

Rated = tuple[Function, tuple[bool, ...]]
"""A function, and for each case whether it is right about it."""


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
    rows: list[Rated] = []
    for function, result in zip(verifier.functions, matrix, strict=True):
        if reason := _unusable(result):
            evidence = "; ".join(result.details.values())
            yield Reject(_part(verifier, functions=(function,)), reason, evidence)
        else:
            pairs = zip(result.outcomes, verifier.cases, strict=True)
            rows.append((function, tuple(agrees(outcome, case.expected) for outcome, case in pairs)))
    disputed = contradicted(verifier.cases) if config.contradictions is Contradiction.drop else set()
    for case in verifier.cases:
        if case.input in disputed:
            yield Reject(_part(verifier, cases=(case,)), "case_contradicts_itself", "both outputs were expected")
    votable = [i for i, case in enumerate(verifier.cases) if case.input not in disputed]
    written = _part(verifier, tuple(function for function, _ in rows), tuple(verifier.cases[i] for i in votable))
    if short := _too_few(written, config.min_functions_written, config.min_cases_written):
        yield Reject(written, f"too_few_{short}_written", _left(written, verifier, short))
        return
    yield from _vote(verifier, rows, votable, config)


def _vote(
    verifier: Verifier, rows: Sequence[Rated], votable: Sequence[int], config: CrossVerifyConfig
) -> Iterator[Verifier | Reject]:
    cases, functions, kept = [], [], []
    for i in votable:
        case = replace(verifier.cases[i], accuracy=share([right[i] for _, right in rows]))
        if passes(case.accuracy, config.case_threshold, Bound.above):
            cases.append(case)
            kept.append(i)
        else:
            yield Reject(_part(verifier, cases=(case,)), "case_below_threshold", f"accuracy {case.accuracy:.2f}")
    judging = kept if config.judged_on is CaseScope.kept else votable
    for function, right in rows:
        rated = replace(function, accuracy=share([right[i] for i in judging]))
        if passes(rated.accuracy, config.function_threshold, config.function_bound):
            functions.append(rated)
        else:
            detail = f"accuracy {rated.accuracy:.2f}"
            yield Reject(_part(verifier, functions=(rated,)), "function_below_threshold", detail)
    narrowed = _part(verifier, functions=tuple(functions), cases=tuple(cases))
    if short := _too_few(narrowed, config.min_functions, config.min_cases):
        yield Reject(narrowed, f"too_few_{short}", _left(narrowed, verifier, short))
    else:
        yield narrowed


def _unusable(result: JobResult) -> str:
    """Why a function has no vote, or nothing."""
    if result.outcomes and all(outcome is Outcome.LOAD_ERROR for outcome in result.outcomes):
        return "function_does_not_load"
    return "" if result.trusted else "function_untrustworthy"


def contradicted(cases: Iterable[Case]) -> set[str]:
    """Inputs that stand among ``cases`` with both outputs."""
    expected: dict[str, set[bool]] = {}
    for case in cases:
        expected.setdefault(case.input, set()).add(case.expected)
    return {text for text, outputs in expected.items() if len(outputs) > 1}


def share(flags: Sequence[bool]) -> float:
    """Share of True in [0, 1]; 0 of none."""
    return sum(flags) / len(flags) if flags else 0.0


def _too_few(verifier: Verifier, functions: int, cases: int) -> str:
    """What there is too little of: functions, cases or nothing."""
    if len(verifier.functions) < functions:
        return "functions"
    return "cases" if len(verifier.cases) < cases else ""


def _left(part: Verifier, whole: Verifier, noun: str) -> str:
    return f"{len(getattr(part, noun))} of {len(getattr(whole, noun))} left"


def _part(verifier: Verifier, functions: tuple[Function, ...] = (), cases: tuple[Case, ...] = ()) -> Verifier:
    """The verifier with only these functions and cases: what is left of it, or the part that was dropped."""
    return replace(verifier, functions=functions, cases=cases)


def estimate(functions: int, verifiers: int) -> Estimate:
    """Every function on the cases of all samples: at most three a function."""
    return Estimate(records=verifiers, executions=verifiers * functions * functions * 3)
