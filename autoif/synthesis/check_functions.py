"""What real responses say about functions: constant ones go, and those that the others of their instruction contradict.

Functions and test cases come from one model and can be wrong together; the responses that users' queries get were not
made to please them. ``observe_responses`` executes every function on every response once; what follows only counts the
outcomes. ``check_functions`` narrows the instructions, ``narrow_answers`` their answers, which are then judged by what
is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from statistics import fmean

from msgspec.structs import replace

from autoif.config import CheckFunctionsConfig
from autoif.execution import Outcome
from autoif.records import Answers, Function, Reject, Verifier
from autoif.stage import CHUNK, Context
from autoif.synthesis.evidence import EVIDENCE, accuracy, matrices
from autoif.synthesis.verify_responses import executed

Verdicts = dict[str, list[bool | None]]
"""For each function (by id) what it said of each response: None where it gave no evidence."""

_SAID = {outcome.value: int(outcome is Outcome.TRUE) for outcome in EVIDENCE}
_NOTHING = 2


def observe_responses(context: Context, answers: Sequence[Answers]) -> Iterator[Answers]:
    """Every response with its functions' outcomes; nothing is dropped."""
    context.facts["isolation"] = str(context.engines.execution.isolation)
    return executed(context.engines.execution, answers)


def check_functions(
    context: Context, verifiers: Iterable[Verifier], answers: Iterable[Answers]
) -> Iterator[Verifier | Reject]:
    """Instructions narrowed to the functions that real responses do not speak against.

    Of the answers a byte a function and response is held in memory: they may come in any order.
    """
    config: CheckFunctionsConfig = context.config
    held = _hold(answers)
    judged = ((verifier, _verdicts(verifier, held)) for verifier in verifiers)
    while batch := list(islice(judged, CHUNK)):
        suspects = [_same_of_all(verifier, verdicts, config.min_responses) for verifier, verdicts in batch]
        groups = (
            ([f for f in verifier.functions if f.id in those], [case.input for case in verifier.cases])
            for (verifier, _), those in zip(batch, suspects, strict=True)
        )
        found = matrices(context.engines.execution, groups)
        for (verifier, verdicts), those, matrix in zip(batch, suspects, found, strict=True):
            on_cases = [result.outcomes for result in matrix]
            yield from narrow(verifier, verdicts, constant(those, on_cases), config)


def narrow(
    verifier: Verifier, verdicts: Verdicts, constants: set[str], config: CheckFunctionsConfig
) -> Iterator[Verifier | Reject]:
    """One instruction without the functions in ``constants`` and without those that disagree with the others."""
    for function in verifier.functions:
        if function.id in constants:
            says = next(iter(said for said in verdicts[function.id] if said is not None))
            yield _dropped(verifier, function, "function_is_constant", f"always {str(says).lower()}")
    left = {f.id: verdicts.get(f.id, []) for f in verifier.functions if f.id not in constants}
    for key, rate in disagreeing(left, config.agreement, config.min_responses).items():
        del left[key]
        function = next(f for f in verifier.functions if f.id == key)
        yield _dropped(verifier, function, "function_disagrees", f"agreement {rate:.2f}")
    narrowed = replace(verifier, functions=tuple(f for f in verifier.functions if f.id in left))
    yield narrowed if narrowed.functions else Reject(narrowed, "no_function_left")


def disagreeing(verdicts: Mapping[str, Sequence[bool | None]], threshold: float, least: int) -> dict[str, float]:
    """Functions that go, each with its mean agreement with the others when it went, in [0, 1].

    The one that agrees least goes first, and equal ones together: of two that contradict each other nothing tells
    which is right. Pairs that judged fewer than ``least`` common responses say nothing, and a function without a peer
    stays: there is nothing against it.
    """
    left = dict(verdicts)
    gone: dict[str, float] = {}
    while True:
        rates: dict[str, list[float]] = {}
        for one, other in combinations(left, 2):
            if (rate := agreement(left[one], left[other], least)) is not None:
                rates.setdefault(one, []).append(rate)
                rates.setdefault(other, []).append(rate)
        means = {key: fmean(values) for key, values in rates.items()}
        worst = min(means.values(), default=1.0)
        if worst >= threshold:
            return gone
        for key in [key for key, mean in means.items() if mean == worst]:
            gone[key] = worst
            del left[key]


def agreement(one: Sequence[bool | None], other: Sequence[bool | None], least: int) -> float | None:
    """Share of the responses that both judged of which both say the same; None below ``least`` of them."""
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a is not None and b is not None]
    return sum(a == b for a, b in pairs) / len(pairs) if len(pairs) >= least else None


def _hold(answers: Iterable[Answers]) -> dict[tuple[str, str], bytearray]:
    """(instruction, function) → a byte for each response: 1 for True, 0 for another verdict, 2 for no evidence."""
    held: dict[tuple[str, str], bytearray] = {}
    seen: Counter[str] = Counter()
    for row in answers:
        owner = row.prompt.verifier_id
        for column, function in enumerate(row.prompt.functions):
            said = held.setdefault((owner, function.id), bytearray())
            said.extend([_NOTHING] * (seen[owner] - len(said)))  # rows of a file may differ in their functions
            said.extend(_SAID.get(response.outcomes[column], _NOTHING) for response in row.responses)
        seen[owner] += len(row.responses)
    return held


def _verdicts(verifier: Verifier, held: Mapping[tuple[str, str], bytearray]) -> Verdicts:
    codes = {function.id: held.get((verifier.id, function.id), b"") for function in verifier.functions}
    return {key: [None if code == _NOTHING else code == 1 for code in said] for key, said in codes.items()}


def _same_of_all(verifier: Verifier, verdicts: Verdicts, least: int) -> dict[str, bool]:
    """Functions that say the same of all responses, of ``least`` at least, and what they say."""
    said = {f.id: [v for v in verdicts.get(f.id, []) if v is not None] for f in verifier.functions}
    return {key: values[0] for key, values in said.items() if len(values) >= least and len(set(values)) == 1}


def constant(suspects: Mapping[str, bool], on_cases: Sequence[Sequence[Outcome]]) -> set[str]:
    """Of the functions that say the same of all responses, those that say it of all cases too. ``on_cases``: the
    outcomes of each of them, in their order."""

    def says_else(outcomes: Sequence[Outcome], said: bool) -> bool:
        return any(outcome in EVIDENCE and (outcome is Outcome.TRUE) != said for outcome in outcomes)

    return {
        key for (key, said), outcomes in zip(suspects.items(), on_cases, strict=True) if not says_else(outcomes, said)
    }


def _dropped(verifier: Verifier, function: Function, reason: str, detail: str) -> Reject:
    return Reject(replace(verifier, functions=(function,), cases=()), reason, detail)


def narrow_answers(
    context: Context, answers: Iterable[Answers], verifiers: Iterable[Verifier]
) -> Iterator[Answers | Reject]:
    """Answers with the functions and outcomes that are left; those of a dropped instruction go. Of the instructions
    only ids are kept in memory."""
    kept = {verifier.id: frozenset(function.id for function in verifier.functions) for verifier in verifiers}
    for row in answers:
        ids = kept.get(row.prompt.verifier_id)
        yield Reject(row, "instruction_dropped") if ids is None else _narrowed(row, ids)


def _narrowed(row: Answers, ids: frozenset[str]) -> Answers:
    columns = [column for column, function in enumerate(row.prompt.functions) if function.id in ids]
    prompt = replace(row.prompt, functions=tuple(row.prompt.functions[column] for column in columns))
    responses = []
    for response in row.responses:
        outcomes = tuple(response.outcomes[column] for column in columns)
        rate = accuracy([Outcome(name) for name in outcomes])
        responses.append(replace(response, outcomes=outcomes, accuracy=rate))
    return replace(row, prompt=prompt, responses=tuple(responses))
