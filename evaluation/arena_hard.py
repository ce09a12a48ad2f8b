"""Arena-Hard (Li et al. 2024), v0.1 and v2.0: answers against a baseline's, judged in both orders.

A verdict is a battle, a strong one (``>>``) three; the win rate is the share of battles won, ties half. With every
model fought against one baseline this is the Bradley-Terry estimate of v0.1: 1 / (1 + 10^((E_base - E) / 400)) at the
maximum of the likelihood. A game without a verdict is left out; v2.0 leaves out both games of that question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoif.errors import DataError
from autoif.generation.base import Generator, Request, Sampling, user
from autoif.records import EvaluationItem, Result
from evaluation.answering import answer, text
from evaluation.data import Source, locate, read_jsonl
from evaluation.judge import Judge
from evaluation.responses import names
from evaluation.statistics import bootstrap

_PROMPT = Path(__file__).with_name("prompts") / "arena_hard.txt"
_VERDICT = re.compile(r"\[\[([AB]\s*(?:>>|>|=|<<|<)\s*[AB])\]\]")
_REMINDER = "Finish with your verdict: one of [[A>>B]], [[A>B]], [[A=B]], [[B>A]], [[B>>A]]."
_STRONG = 3


@dataclass(frozen=True, slots=True)
class Version:
    """One release: its folder under the data, size, and the baseline model of each category."""

    name: str
    folder: str
    questions: int
    baselines: Mapping[str, str]
    drop_pair: bool
    sha256: str

    def source(self, file: str = "question.jsonl", sha256: str | None = None) -> Source:
        """One of its files, the requests where none is named."""
        # The hub has the answers in a folder of their own, as the repository has.
        there = f"model_answer/{file.removeprefix('baseline_')}" if file.startswith("baseline_") else file
        return Source(
            f"Arena-Hard {self.name.rpartition('_')[2]}",
            f"{self.folder}/{file}",
            self.questions,
            _HUB[0],
            f"data/{self.folder.replace('arena_hard/', 'arena-hard-')}/{there}",
            _HUB[1],
            sha256 or (self.sha256 if file == "question.jsonl" else None),
        )

    def baseline(self, model: str) -> Source:
        """The answers of a baseline model."""
        return self.source(f"baseline_{model}.jsonl", _BASELINES.get(model))


_HUB = ("lmarena-ai/arena-hard-auto", "15f3746e21432264ce9b453999bde4f3c946d2e6")
_BASELINES = {"gpt-4-0314": "0f6abc84de4600fde987d9db70f838f4ecdbd27a2f1f4058c12aa322a6f791b2"}
"""SHA-256 of the published answers, where known."""

V01 = Version(
    "arena_hard_v0.1",
    "arena_hard/v0.1",
    500,
    {"arena-hard-v0.1": "gpt-4-0314"},
    False,
    "2650242d2883f22b2abd498f273b6a7e02253cce533f5c91a858e1d44aa3002f",
)
V20 = Version(
    "arena_hard_v2.0",
    "arena_hard/v2.0",
    750,
    {"hard_prompt": "o3-mini-2025-01-31", "creative_writing": "gemini-2.0-flash-001"},
    True,
    "a75cef6623db6b27aec810497b059f0659705d7ff48dcbccc5bd5b130728ac73",
)
_GREEDY = Sampling(max_tokens=4096)


@dataclass(frozen=True, slots=True)
class Item:
    """A user's request; ``category`` decides the baseline."""

    id: str
    category: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Given:
    """A model's answer; ``style``: its token, header, list and bold counts where the file holds them."""

    text: str
    style: Mapping[str, Any] | None = None


def load(version: Version, data_dir: str | Path | None) -> list[Item]:
    """The requests in order. Raises :class:`DataError`."""
    path = locate(version.source(), None if data_dir is None else str(data_dir))
    items = [
        Item(row["uid"], row["category"], row["prompt"]) for _, row in read_jsonl(path, "uid", "category", "prompt")
    ]
    if strange := {item.category for item in items} - set(version.baselines):
        raise DataError(f"{path}: no baseline is known for category {sorted(strange)[0]}")
    return items


def generate(
    generator: Generator, items: Iterable[Item], sampling: Sampling = _GREEDY, seed: int = 0
) -> Iterator[tuple[Item, str]]:
    """Answers in order."""
    asked = answer(generator, items, lambda item: Request(messages=user(item.prompt), sampling=sampling, seed=seed))
    return ((item, text(reply)) for item, reply in asked)


def read_answers(path: Path, items: Sequence[Item], others: bool = False) -> dict[str, Given]:
    """Answers in either published form (``uid`` with ``messages``, or ``question_id`` with ``choices``), by id.

    ``others``: answers to other requests than ``items`` are passed over. Raises :class:`DataError` naming missing,
    foreign and repeated answers.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist: it should hold answers to Arena-Hard's requests")
    known, found = {item.id for item in items}, dict[str, Given]()
    for line, row in read_jsonl(path):
        id = str(row.get("uid", row.get("question_id")))
        if others and id not in known:
            continue
        if id not in known or id in found:
            raise DataError(f"{path}:{line}: {id} is {'answered twice' if id in found else 'no request of Arena-Hard'}")
        try:
            if "messages" in row:
                content = row["messages"][-1]["content"]
                said = content["answer"] if isinstance(content, dict) else content
            else:
                said = row["choices"][0]["turns"][0]["content"]
        except (KeyError, IndexError, TypeError):
            raise DataError(f"{path}:{line}: holds no answer") from None
        found[id] = Given(said or "", row.get("metadata") or row.get("conv_metadata"))
    if absent := [id for id in (item.id for item in items) if id not in found]:
        raise DataError(f"{path} has no answer for: {names(absent)}")
    return found


def parse(reply: str) -> str | None:
    """The last verdict in double brackets, without spaces; None where there is none between A and B."""
    found = [re.sub(r"\s", "", verdict) for verdict in _VERDICT.findall(reply)]
    return found[-1] if found and found[-1][0] != found[-1][-1] else None


def battles(verdict: str, model: str) -> tuple[float, ...]:
    """What a verdict says of ``model`` (A or B): 1 won, 0 lost, 0.5 a tie; three times for a strong one."""
    left, sign, right = verdict[0], verdict[1:-1], verdict[-1]
    if left == right or sign not in (">>", ">", "=", "<", "<<"):
        raise ValueError(f"{verdict!r} is no verdict")
    if sign == "=":
        return (0.5,)
    winner = left if ">" in sign else right
    return (float(winner == model),) * (_STRONG if len(sign) == 2 else 1)


def score(
    version: Version,
    answered: Iterable[tuple[Item, str]],
    baseline: Mapping[str, str],
    judge: Judge,
    model: str,
) -> Iterator[EvaluationItem]:
    """Judge each answer against the baseline's (by item id) in both orders: first as B, then as A."""
    pairs = list(answered)
    template = _PROMPT.read_text(encoding="utf-8")
    verdicts = []
    for order in (0, 1):
        sides = [(baseline[item.id], reply)[:: -1 if order else 1] for item, reply in pairs]
        asked = (
            user(template.format(question=item.prompt, answer_a=a, answer_b=b))
            for (item, _), (a, b) in zip(pairs, sides, strict=True)
        )
        verdicts.append([verdict.value for verdict in judge.ask(asked, parse, _REMINDER)])
    for (item, reply), *games in zip(pairs, *verdicts, strict=True):
        yield _scored(version, item, reply, games, model, judge.name)


def read_judgments(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a published judgment file: ``id``, ``model``, ``judge`` and the ``games``' verdicts (None: none)."""
    for line, row in read_jsonl(path, "model", "judge", "games"):
        games = [game.get("score") if isinstance(game, dict) else None for game in row["games"]]
        if len(games) != 2:
            raise DataError(f"{path}:{line}: has {len(games)} games, not one for each order")
        for verdict in games:
            if verdict is not None and parse(f"[[{verdict}]]") is None:
                raise DataError(f"{path}:{line}: {verdict!r} is no verdict")
        id = str(row.get("uid", row.get("question_id")))
        yield {"id": id, "model": row["model"], "judge": row["judge"], "games": games}


def rescore(
    version: Version,
    rows: Iterable[Mapping[str, Any]],
    items: Sequence[Item],
    model: str,
    answers: Mapping[str, Given] | None = None,
) -> list[EvaluationItem]:
    """Items of ``model`` from published judgments. Raises :class:`DataError` naming missing, foreign, repeated ones."""
    by_id = {item.id: item for item in items}
    found: dict[str, EvaluationItem] = {}
    for row in rows:
        if row["model"] != model:
            continue
        id = row["id"]
        if id not in by_id or id in found:
            raise DataError(f"{model}: {id} is {'judged twice' if id in found else 'no request of Arena-Hard'}")
        reply = answers[id].text if answers else ""
        found[id] = _scored(version, by_id[id], reply, row["games"], model, row["judge"])
    if absent := [id for id in by_id if id not in found]:
        raise DataError(f"no judgment of {model} on: {names(absent)}")
    return [found[id] for id in by_id]


def aggregate(version: Version, items: Iterable[EvaluationItem], seed: int = 0) -> list[Result]:
    """Win rate in [0, 1] for each category (v0.1 has one), with its 95% interval from a bootstrap over battles.

    The published evaluation resamples battles as if they were independent; the two games of a question are not, so
    differences between models are better read from paired comparisons, which draw questions.
    """
    won: dict[str, list[float]] = {}
    asked: dict[str, int] = {}
    judges: set[str] = set()
    seen: set[str] = set()
    model = ""
    for item in items:
        if item.id in seen:
            raise DataError(f"{version.name}: item {item.id} is there twice (of {model} and {item.model})")
        seen.add(item.id)
        category = item.labels[0]
        won.setdefault(category, []).extend(item.parts.get(metric(version, category), ()))
        asked[category] = asked.get(category, 0) + 1
        judges |= {item.judge} if item.judge else set()
        model = item.model
    results = []
    for category, values in won.items():
        if not values:
            raise DataError(f"{version.name}: no verdict on any request of {category}")
        found = bootstrap(values, seed=seed)
        results.append(
            Result(
                benchmark=version.name,
                metric=metric(version, category),
                value=found.value,
                n=asked[category],
                low=found.low,
                high=found.high,
                model=model,
                seed=seed,
                judge=", ".join(sorted(judges)) or None,
                sample=sum(asked.values()) < version.questions,
            )
        )
    return results


def metric(version: Version, category: str) -> str:
    """The name of a category's win rate; v0.1 has one category."""
    return "win_rate" if len(version.baselines) == 1 else f"win_rate/{category}"


def _scored(
    version: Version, item: Item, reply: str, games: Sequence[str | None], model: str, judge: str
) -> EvaluationItem:
    complete = None not in games
    fought: tuple[float, ...] = ()
    if complete or not version.drop_pair:
        for verdict, side in zip(games, "BA", strict=True):
            fought += () if verdict is None else battles(verdict, side)
    return EvaluationItem(
        id=item.id,
        benchmark=version.name,
        model=model,
        prompt=item.prompt,
        response=reply,
        scores={},
        parts={metric(version, item.category): fought},
        labels=(item.category,),
        judge=judge,
        detail=" ".join(verdict or "?" for verdict in games),
    )
