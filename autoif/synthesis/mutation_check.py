"""Mutation check: a function must refuse what an answer that it accepts becomes when it is damaged.

The paper lets functions and test cases vouch for each other; both come from one model and can be wrong together. A
function that accepts everything agrees with every positive case; mutations of those cases tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from autoif.config import MutationCheckConfig
from autoif.execution import JobResult, Outcome
from autoif.records import Reject, Verifier
from autoif.stage import Context, Estimate
from autoif.synthesis.evidence import EVIDENCE, matrices
from autoif.synthesis.mutations import MUTATIONS, mutations, spread

Group = list[str]
"""A positive case, then its mutations."""


def mutation_check(context: Context, verifiers: Sequence[Verifier]) -> Iterator[Verifier | Reject]:
    """Drop functions that accept no positive case, and those that refuse no mutation of one that they accept; then
    instructions that have no function left. Where there is no case at all (a file without them), nothing is judged."""
    config: MutationCheckConfig = context.config
    grouped = [groups(verifier, config.cases) for verifier in verifiers]
    inputs = [[text for group in those for text in group] for those in grouped]
    jobs = ((verifier.functions, texts) for verifier, texts in zip(verifiers, inputs, strict=True))
    found = matrices(context.engines.execution, jobs)
    for verifier, those, matrix in zip(verifiers, grouped, found, strict=True):
        kept = []
        for function, result in zip(verifier.functions, matrix, strict=True):
            if verifier.cases and (reason := verdict(those, result)):
                yield Reject(replace(verifier, functions=(function,), cases=()), reason)
            else:
                kept.append(function)
        narrowed = replace(verifier, functions=tuple(kept))
        yield narrowed if kept else Reject(narrowed, "no_function_left")


def groups(verifier: Verifier, cases: int) -> list[Group]:
    """Up to ``cases`` positive cases of an instruction, from short to long, each with its mutations."""
    accepted = [case.input for case in verifier.cases if case.expected]
    refused = list(spread([case.input for case in verifier.cases if not case.expected], 2))
    return [[text, *mutations(text, verifier.instruction.text, refused).values()] for text in spread(accepted, cases)]


def verdict(those: Sequence[Group], result: JobResult) -> str:
    """Why a function is dropped, or nothing. ``result``: an outcome for each text of each group."""
    outcomes = iter(result.outcomes)
    accepts = False
    for group in those:
        first, *others = [next(outcomes) for _ in group]
        if first is not Outcome.TRUE:
            continue
        accepts = True
        if any(outcome in EVIDENCE and outcome is not Outcome.TRUE for outcome in others):
            return ""
    return "function_passes_every_mutation" if accepts else "function_accepts_no_case"


def estimate(config: MutationCheckConfig, functions: int, verifiers: int) -> Estimate:
    """Every function on the cases and all that is made of them."""
    texts = config.cases * (len(MUTATIONS) + 4)
    return Estimate(records=verifiers, executions=verifiers * functions * texts)
