"""Judging by a model: any generation engine, asked at temperature 0, its replies parsed and never run.

A reply that cannot be parsed is answered once with a reminder of the expected form; what stays unparsable is counted
and handled as each benchmark documents. Judged numbers carry the judge's identity: they are comparable under the
same judge only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Generic, TypeVar

from autoif.errors import ConfigError
from autoif.generation.base import Generator, Request, Sampling
from autoif.records import EvaluationItem, Message
from evaluation.answering import answer, text

V = TypeVar("V")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verdict(Generic[V]):
    """A judge's parsed reply: ``value`` is None when neither the first reply nor the second could be parsed."""

    value: V | None
    reply: str
    attempts: int = 1


class Judge:
    """Asks ``generator`` for verdicts. ``unparsable`` and ``retried`` count over the judge's life."""

    def __init__(self, generator: Generator, max_tokens: int = 1024) -> None:
        self._generator, self._sampling = generator, Sampling(temperature=0.0, max_tokens=max_tokens)
        self.asked = self.retried = self.unparsable = 0

    @property
    def name(self) -> str:
        """What judges, as it stands beside every number."""
        return self._generator.identity

    def ask(
        self, conversations: Iterable[tuple[Message, ...]], parse: Callable[[str], V | None], reminder: str
    ) -> list[Verdict[V]]:
        """One verdict for each conversation, in order. ``reminder``: what a judge is told whose reply is unparsable."""
        asked = list(conversations)
        verdicts = self._round(asked, parse, 1)
        again = [index for index, verdict in enumerate(verdicts) if verdict.value is None]
        reminded = [
            (*asked[i], Message(role="assistant", content=verdicts[i].reply), Message(role="user", content=reminder))
            for i in again
        ]
        for index, verdict in zip(again, self._round(reminded, parse, 2), strict=True):
            verdicts[index] = verdict
            self.unparsable += verdict.value is None
        self.asked += len(asked)
        self.retried += len(again)
        return verdicts

    def facts(self) -> dict[str, Any]:
        """What a manifest says of the judging."""
        return {
            "judge": self.name,
            "judged": self.asked,
            "judge_retried": self.retried,
            "judge_unparsable": self.unparsable,
        }

    def _round(
        self, conversations: Sequence[tuple[Message, ...]], parse: Callable[[str], V | None], attempt: int
    ) -> list[Verdict[V]]:
        replies = answer(
            self._generator, conversations, lambda messages: Request(messages=messages, sampling=self._sampling)
        )
        return [Verdict(parse(text(reply)), text(reply), attempt) for _, reply in replies]


@dataclass(slots=True)
class Judging:
    """Who judges, and a ``second`` judge that judges ``sample`` of the items again, to say how far both agree."""

    judge: Judge
    second: Judge | None = None
    sample: int = 100

    def run(
        self,
        answered: Sequence[T],
        score: Callable[[Sequence[T], Judge], Iterable[EvaluationItem]],
        facts: dict[str, Any],
        seed: int = 0,
    ) -> list[EvaluationItem]:
        """Items of ``answered`` as the judge scores them; ``facts`` takes the counts, and the agreement."""
        items = list(score(answered, self.judge))
        facts.update(self.judge.facts())
        if self.second is not None and answered:
            chosen = Random(seed).sample(range(len(answered)), min(self.sample, len(answered)))
            again = list(score([answered[place] for place in sorted(chosen)], self.second))
            ours, theirs = verdicts(items), verdicts(again)
            if any(ours.get(key) is not None and value is not None for key, value in theirs.items()):
                found = agreement(ours, theirs)
                facts["agreement"] = {
                    "with": self.second.name,
                    "n": found.n,
                    "share": found.share,
                    "kappa": found.kappa,
                }
        return items


def need_judge(judging: Judging | None, benchmark: str) -> Judging:
    """``judging`` itself. Raises :class:`ConfigError` with what to add where there is no judge."""
    if judging is None:
        raise ConfigError(f"{benchmark} needs a judge: add supervisor@evaluation.judge=openai (or any other engine)")
    return judging


def verdicts(items: Iterable[EvaluationItem]) -> dict[str, str | None]:
    """Each verdict of judged items, by item and place; None for one that could not be read."""
    return {
        f"{item.id} {place}": None if verdict == "?" else verdict
        for item in items
        if item.judge and not item.detail.startswith("unparsable")
        for place, verdict in enumerate(item.detail.split())
    }


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two judges on the same items: share of equal verdicts and Cohen's kappa (1 when both always say the same)."""

    n: int
    share: float
    kappa: float


def agreement(first: Mapping[str, Any], second: Mapping[str, Any]) -> Agreement:
    """Agreement over the items that both judges gave a verdict on. Raises ValueError when there is none."""
    shared = [id for id in first if id in second and first[id] is not None and second[id] is not None]
    if not shared:
        raise ValueError("the judges have no verdict in common")
    n = len(shared)
    equal = sum(first[id] == second[id] for id in shared) / n
    labels = {first[id] for id in shared} | {second[id] for id in shared}
    chance = sum(
        sum(first[id] == label for id in shared) * sum(second[id] == label for id in shared) for label in labels
    ) / (n * n)
    return Agreement(n, equal, 1.0 if chance == 1 else (equal - chance) / (1 - chance))
