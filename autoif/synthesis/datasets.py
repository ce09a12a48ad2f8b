"""The two training sets: SFT samples and preference pairs (paper §3.3).

Pairs: chosen has accuracy above the threshold, rejected has accuracy 0 *on evidence*: a function that crashed makes
no negative. Query-level pairs come from responses, instruction-level ones from the verifiers' test cases.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product, tee

from msgspec.structs import replace

from autoif.config import PreferenceConfig, QualityConfig, SftDatasetConfig
from autoif.records import Answers, Message, PreferencePair, Record, Reject, Response, SftExample, Verifier, digest
from autoif.stage import Context, Estimate
from autoif.synthesis.evidence import accuracy, matrices, passes
from autoif.synthesis.quality import flaw

_Pair = tuple[Response, Response]
"""Chosen, rejected."""


def sft_dataset(context: Context, answers: Iterable[Answers]) -> Iterator[SftExample]:
    """Every kept response as a sample; best first, at most ``per_prompt`` of a prompt, no text twice."""
    config: SftDatasetConfig = context.config
    for row in answers:
        if not sampled(row.id, context.seed, config.fraction):
            continue
        kept = distinct(sorted((r for r in row.responses if r.dropped is None), key=preference))
        for response in kept[: config.per_prompt]:
            yield SftExample(
                id=digest("sft", row.id, response.text),
                messages=(
                    Message(role="user", content=row.prompt.text),
                    Message(role="assistant", content=response.text),
                ),
                instruction=row.prompt.instruction,
                functions=tuple(function.code for function in row.prompt.functions),
                accuracy=response.accuracy or 0.0,
                score=response.score,
                constraints=row.prompt.constraints,
            )


def preference_dataset(
    context: Context, answers: Iterable[Answers], verifiers: Iterable[Verifier] = ()
) -> Iterator[PreferencePair | Reject]:
    """Offline pairs: query level, then instruction level when asked for."""
    config: PreferenceConfig = context.config
    yield from _sampled(context, _query_pairs(answers, config, "query"), config)
    if config.instruction_level:
        yield from _sampled(context, _instruction_pairs(context, verifiers), config)


@dataclass(kw_only=True, slots=True)
class OnlinePairsConfig:
    """How pairs are made of own answers: as offline, but what has a flaw is not chosen, whatever it passes."""

    preference: PreferenceConfig
    quality: QualityConfig


def online_pairs(context: Context, answers: Iterable[Answers]) -> Iterator[PreferencePair | Reject]:
    """Pairs from the model's own answers in one online iteration; facts count the answers with a flaw."""
    config: OnlinePairsConfig = context.config
    flaws: Counter[str] = Counter()

    def looked_at() -> Iterator[Answers]:
        for row in answers:
            responses = []
            for response in row.responses:
                reason = None if response.dropped else flaw(response.text, config.quality)
                flaws.update([reason] if reason else [])
                responses.append(replace(response, dropped=reason) if reason else response)
            yield replace(row, responses=tuple(responses))

    yield from _sampled(context, _query_pairs(looked_at(), config.preference, "online"), config.preference)
    context.facts["flaws"] = dict(sorted(flaws.items()))


def _sampled(
    context: Context, pairs: Iterable[PreferencePair | Reject], config: PreferenceConfig
) -> Iterator[PreferencePair | Reject]:
    fraction = config.fraction
    return (pair for pair in pairs if isinstance(pair, Reject) or sampled(pair.id, context.seed, fraction))


def _query_pairs(answers: Iterable[Answers], config: PreferenceConfig, level: str) -> Iterator[PreferencePair | Reject]:
    for row in answers:
        chosen = [r for r in row.responses if r.dropped is None and good_enough(r, config)]
        rejected = [r for r in row.responses if r.accuracy == 0 and r.text]
        yield from pairs(row, row.prompt.text, chosen, rejected, config, level)


def _instruction_pairs(context: Context, verifiers: Iterable[Verifier]) -> Iterator[PreferencePair | Reject]:
    config: PreferenceConfig = context.config
    ahead, rows = tee(verifiers)  # the engine reads ahead by a bounded number of jobs; rows follow
    groups = ((row.functions, [case.input for case in row.cases]) for row in ahead)
    for row, matrix in zip(rows, matrices(context.engines.execution, groups), strict=True):
        responses = [
            Response(index=i, text=case.input, accuracy=accuracy([result.outcomes[i] for result in matrix]))
            for i, case in enumerate(row.cases)
        ]
        composed = row.instruction.constraints > 1
        chosen = [r for r in responses if good_enough(r, config) and (r.accuracy == 1 or not composed)]
        rejected = [r for r in responses if r.accuracy == 0]
        yield from pairs(row, row.instruction.text, chosen, rejected, config, "instruction")


def good_enough(response: Response, config: PreferenceConfig) -> bool:
    """Whether a response that was kept may be chosen, by its accuracy."""
    return passes(response.accuracy, config.chosen_threshold, config.chosen_bound)


def pairs(
    row: Record,
    prompt: str,
    chosen: Sequence[Response],
    rejected: Sequence[Response],
    config: PreferenceConfig,
    level: str,
) -> Iterator[PreferencePair | Reject]:
    """Best chosen × first rejected, distinct texts, capped on both sides; a prompt without a pair has its reason."""
    best, worst = distinct(sorted(chosen, key=preference)), distinct(rejected)
    if not best or not worst:
        yield Reject(row, "nothing_to_choose" if not best else "nothing_to_reject")
        return
    for good, bad in matched(best, worst, config) if config.match_length else first(best, worst, config):
        yield PreferencePair(
            id=digest("pair", level, prompt, good.text, bad.text),
            prompt=(Message(role="user", content=prompt),),
            chosen=good.text,
            rejected=bad.text,
            level=level,
            chosen_accuracy=good.accuracy or 0.0,
            rejected_accuracy=bad.accuracy or 0.0,
            rejected_whole=bad.dropped != "cut_off",
        )


def first(best: Sequence[Response], worst: Sequence[Response], config: PreferenceConfig) -> Iterable[_Pair]:
    """Each of the first chosen with each of the first rejected."""
    return product(best[: config.max_chosen], worst[: config.max_rejected])


def matched(best: Sequence[Response], worst: Sequence[Response], config: PreferenceConfig) -> Iterator[_Pair]:
    """As many pairs, each answer as often at most; among those of an accuracy, the ones most alike in length first.

    Short answers meet constraints more easily, so pairs taken as they come teach a model to be brief, round by round.
    """
    most = min(config.max_chosen, len(best)) * min(config.max_rejected, len(worst))
    used: Counter[tuple[bool, int]] = Counter()
    for good, bad in sorted(product(best, worst), key=_apart):
        if not most:
            return
        if used[True, good.index] < config.max_rejected and used[False, bad.index] < config.max_chosen:
            used.update([(True, good.index), (False, bad.index)])
            most -= 1
            yield good, bad


def _apart(pair: _Pair) -> tuple[float, float]:
    """Sort key: higher accuracy of the chosen answer, then the ratio of both lengths in words, as a logarithm."""
    good, bad = (len(response.text.split()) for response in pair)
    return -(pair[0].accuracy or 0.0), abs(math.log((good + 1) / (bad + 1)))


def preference(response: Response) -> tuple[float, float, int]:
    """Sort key: higher accuracy, then higher score, then the earlier sample."""
    return (-(response.accuracy or 0.0), -(response.score or 0.0), response.index)


def distinct(responses: Iterable[Response]) -> list[Response]:
    """The first of each text."""
    first: dict[str, Response] = {}
    for response in responses:
        first.setdefault(response.text, response)
    return list(first.values())


def sampled(key: str, seed: int, fraction: float) -> bool:
    """Whether a row belongs to a random ``fraction`` of the data; larger fractions contain smaller ones (figure 4)."""
    return fraction >= 1 or int(digest("fraction", str(seed), key), 16) < fraction * 16**16


def estimate_sft(config: SftDatasetConfig, samples: int, prompts: int) -> Estimate:
    """Every response kept, up to ``per_prompt`` of each prompt."""
    per_prompt = samples if config.per_prompt is None else min(samples, config.per_prompt)
    return Estimate(records=int(prompts * per_prompt * min(config.fraction, 1.0)))


def estimate_pairs(config: PreferenceConfig, prompts: int, verifiers: int = 0) -> Estimate:
    """The caps of every prompt used up."""
    most = config.max_chosen * config.max_rejected
    return Estimate(records=int((prompts + verifiers * config.instruction_level) * most * min(config.fraction, 1.0)))
