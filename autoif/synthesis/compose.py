"""Composition: several compatible verified instructions as one of a higher level (the paper's future work).

Constraints go together when some answer meets them all, which only an answer can show: the test cases at hand and, with
``judge`` supervisor, an answer that the supervisor writes for them, executed against the functions of all. Where the
supervisor says that no answer can exist, they do not go together whatever the functions say.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from autoif.config import ComposeConfig, ComposeJudge
from autoif.execution import JobResult, Outcome
from autoif.generation import Completion, Request, Sampling
from autoif.generation.base import user
from autoif.records import Case, Function, Instruction, Reject, Verifier, digest
from autoif.stage import Context, Estimate
from autoif.synthesis.attach_queries import sentence_end
from autoif.synthesis.evidence import VERDICTS, matrices
from autoif.synthesis.prompts import render

_IMPOSSIBLE = re.compile(r"\W*impossible\b", re.IGNORECASE)
_ANSWERS = 6
"""Positive cases of each constraint that are tried as answers to all."""


@dataclass(slots=True)
class _Composition:
    """One instruction and the partners found for it so far. ``reason``: why the last partner tried did not go."""

    members: list[Verifier]
    partners: Iterator[Verifier]
    made: list[Verifier]
    reason: str = "no_partner"
    tried: int = 0


@dataclass(slots=True)
class _Proposal:
    """A composition with a further partner, and what shows whether they go together."""

    composition: _Composition
    members: list[Verifier]
    example: str | None = None
    impossible: bool = False
    cases: tuple[Case, ...] = ()


def compose(context: Context, verifiers: Iterable[Verifier]) -> Iterator[Verifier | Reject]:
    """For each verified instruction one of ``constraints`` compatible ones that it is the first of, none twice; with
    ``each_level`` those of fewer as well. An instruction for which no partner is found goes with the reason."""
    config: ComposeConfig = context.config
    pool = list(verifiers)
    seen: set[frozenset[str]] = set()
    # Some partners are passed over because their set was proposed before.
    likely = 8 * (config.constraints - 1) * config.attempts
    open_ = [_started(verifier, pool, context.seed, likely) for verifier in pool]
    for size in range(2, config.constraints + 1):
        for composition in open_:
            composition.tried = 0
        waiting = [c for c in open_ if len(c.members) == size - 1]
        while proposals := list(_proposed(waiting, seen, config.attempts)):
            _examine(context, proposals, config)
            for proposal in proposals:
                _settle(proposal)
            waiting = [c for c in waiting if len(c.members) < size]
    levels: Counter[str] = Counter()
    for composition in open_:
        wanted = composition.made if config.each_level else composition.made[config.constraints - 1 :]
        levels.update(str(verifier.instruction.constraints) for verifier in wanted)
        yield from wanted
        if len(composition.members) < config.constraints:
            yield Reject(composition.made[-1], composition.reason, f"{len(composition.members)} found")
    context.facts["levels"] = dict(sorted(levels.items()))


def _started(verifier: Verifier, pool: Sequence[Verifier], seed: int, partners: int) -> _Composition:
    draw = random.Random(f"{seed}:compose:{verifier.id}")
    drawn = draw.sample(pool, min(partners, len(pool)))
    return _Composition([verifier], iter([other for other in drawn if other.id != verifier.id]), [verifier])


def _proposed(waiting: Sequence[_Composition], seen: set[frozenset[str]], attempts: int) -> Iterator[_Proposal]:
    """The next partner of each composition, in a set that was not proposed before, while it has attempts left."""
    for composition in waiting:
        if composition.tried >= attempts:
            continue
        for partner in composition.partners:
            members = [*composition.members, partner]
            key = frozenset(member.id for member in members)
            if key not in seen:
                seen.add(key)
                composition.tried += 1
                yield _Proposal(composition, members)
                break


def _examine(context: Context, proposals: Sequence[_Proposal], config: ComposeConfig) -> None:
    """Ask the supervisor for an answer to all, then execute all functions on that and on the positive cases."""
    if config.judge is ComposeJudge.supervisor:
        sampling = Sampling(temperature=0.0, max_tokens=config.max_tokens)
        requests = (Request(messages=user(_asked(p.members)), sampling=sampling, seed=context.seed) for p in proposals)
        for proposal, answer in zip(proposals, context.engines.supervisor.generate(requests), strict=True):
            text = answer.text.strip() if isinstance(answer, Completion) else ""
            proposal.impossible = bool(_IMPOSSIBLE.match(text))
            proposal.example = None if proposal.impossible or not text else text
    texts = [answers(proposal.members, proposal.example) for proposal in proposals]
    groups = ((functions(proposal.members), those) for proposal, those in zip(proposals, texts, strict=True))
    for proposal, those, matrix in zip(proposals, texts, matrices(context.engines.execution, groups), strict=True):
        proposal.cases = tuple(cases(those, matrix))


def _settle(proposal: _Proposal) -> None:
    composition = proposal.composition
    if proposal.impossible:
        composition.reason = "constraints_contradict"
    elif not any(case.expected for case in proposal.cases):
        composition.reason = "no_answer_meets_all"
    else:
        composition.members = proposal.members
        composition.made.append(composed(proposal.members, proposal.cases))


def _asked(members: Sequence[Verifier]) -> str:
    lines = (f"- {sentence_end(member.instruction.text)}" for member in members)
    return render("compose", requirements="\n".join(lines))


def answers(members: Sequence[Verifier], example: str | None) -> list[str]:
    """Texts that may meet all constraints: the supervisor's example and each member's positive cases, each once."""
    own = [case.input for member in members for case in [c for c in member.cases if c.expected][:_ANSWERS]]
    return list(dict.fromkeys([*([example] if example else []), *own]))


def functions(members: Sequence[Verifier]) -> tuple[Function, ...]:
    """The functions of all members, each source once."""
    return tuple({function.code: function for member in members for function in member.functions}.values())


def cases(texts: Sequence[str], matrix: Sequence[JobResult]) -> Iterator[Case]:
    """Texts as cases of the composition: true where every function says True, false where some says False."""
    for position, text in enumerate(texts):
        outcomes = [result.outcomes[position] for result in matrix]
        if all(outcome in VERDICTS for outcome in outcomes):
            yield Case(input=text, expected=all(outcome is Outcome.TRUE for outcome in outcomes))


def composed(members: Sequence[Verifier], found: tuple[Case, ...]) -> Verifier:
    """The members as one verifier: their texts as sentences, all their functions."""
    text = " ".join(sentence_end(member.instruction.text) for member in members)
    key = digest("instruction", text)
    parts = tuple(member.id for member in members)
    instruction = Instruction(id=key, text=text, origin="composed", parent=members[0].id, parts=parts)
    return Verifier(id=key, instruction=instruction, functions=functions(members), cases=found)


def estimate(config: ComposeConfig, functions: int, verifiers: int) -> Estimate:
    """Every attempt used up, each with the functions of all constraints on their cases."""
    proposals = verifiers * (config.constraints - 1) * config.attempts
    texts = config.constraints * _ANSWERS + 1
    return Estimate(
        records=verifiers * (config.constraints if config.each_level else 1),
        model_calls=proposals if config.judge is ComposeJudge.supervisor else 0,
        executions=proposals * config.constraints * functions * texts,
    )
