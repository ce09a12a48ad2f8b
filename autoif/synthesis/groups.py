"""Groups for GRPO: a prompt's own answers with rewards and advantages (https://arxiv.org/abs/2402.03300, §4.1.2).

The reward is the share of the instruction's functions that an answer passes, among those that gave evidence. An answer
that was cut off, is empty or has a flaw (:mod:`autoif.synthesis.quality`) gets 0 whatever it passes; one without
evidence is left out. A group whose rewards are all equal teaches nothing and is dropped.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autoif.config import QualityConfig
from autoif.records import AnswerGroup, Answers, GroupAnswer, Message, Reject, Response, digest
from autoif.stage import Context, Rows
from autoif.synthesis.quality import flaw

UNUSABLE = ("cut_off", "empty")
"""Reasons that sampling gives; being below the threshold is no reason here, the reward says it."""


@dataclass(kw_only=True, slots=True)
class GroupsConfig:
    """How answers are rewarded; see :class:`~autoif.config.GrpoAlgorithm`."""

    standardise: bool
    quality: QualityConfig


def answer_groups(context: Context, answers: Rows[Answers]) -> Iterator[AnswerGroup | Reject]:
    """One group for each prompt whose answers differ in reward; facts hold the means over *all* answers."""
    config: GroupsConfig = context.config
    rewards: list[float] = []
    passed: list[float] = []
    words: list[int] = []
    flaws: Counter[str] = Counter()
    for row in answers:
        judged = [r for r in row.responses if r.accuracy is not None]
        reasons = [_reason(response, config.quality) for response in judged]
        earned = [0.0 if why else r.accuracy or 0.0 for r, why in zip(judged, reasons, strict=True)]
        flaws.update(why for why in reasons if why)
        rewards += earned
        passed += [r.accuracy or 0.0 for r in judged]
        words += [len(r.text.split()) for r in judged]
        if len(set(earned)) < 2:
            yield Reject(row, "equal_rewards" if judged else "no_evidence")
            continue
        yield AnswerGroup(
            id=digest("group", row.id, *(response.text for response in judged)),
            prompt=(Message(role="user", content=row.prompt.text),),
            answers=tuple(
                GroupAnswer(text=r.text, reward=reward, advantage=value, whole=r.dropped != "cut_off")
                for r, reward, value in zip(judged, earned, advantages(earned, config.standardise), strict=True)
            ),
        )
    if rewards:
        context.facts |= {
            "reward": round(statistics.fmean(rewards), 6),
            "pass_rate": round(statistics.fmean(passed), 6),
            "words": round(statistics.fmean(words), 3),
            "flaws": dict(sorted(flaws.items())),
        }


def _reason(response: Response, quality: QualityConfig) -> str | None:
    return response.dropped if response.dropped in UNUSABLE else flaw(response.text, quality)


def advantages(rewards: Sequence[float], standardise: bool) -> list[float]:
    """Rewards less their mean; with ``standardise`` over their sample standard deviation (needs two that differ).

    Without it the objective is that of Dr. GRPO (https://arxiv.org/abs/2503.20783), which gives easy and hard prompts
    no extra weight.
    """
    mean = statistics.fmean(rewards)
    scale = statistics.stdev(rewards) if standardise else 1.0
    return [(reward - mean) / scale for reward in rewards]
