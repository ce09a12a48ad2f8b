"""FollowBench (Jiang et al. 2024): constraints added level by level; rules judge some groups, a judge the others.

HSR is the share of items that satisfy all their constraints, SSR the mean share of constraints satisfied, CSL the
number of consecutive levels satisfied from level 1. Each is a mean over the groups of a category, then over the
categories, as published. An unparsable judgment counts as nothing satisfied (the published code adds −1 for it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoif.errors import DataError
from autoif.generation.base import Generator, Request, Sampling, user
from autoif.records import EvaluationItem, Result
from evaluation import followbench_rules as rules
from evaluation.answering import answer, text
from evaluation.data import Source, locate, read_jsonl
from evaluation.judge import Judge
from evaluation.responses import Alignment, Given, Question, align
from evaluation.statistics import stratified_bootstrap

BENCHMARK = "followbench"
CATEGORIES = ("content", "situation", "style", "format", "mixed", "example")
LEVELS = 5
_SHA256 = {
    "content": "dedf04579bf205c1422e18ee1033d0372b02196ca4b5e921a3a65dca714e226b",
    "situation": "cab0e31e3f8dd69ba71018dde3eb63f3336b8aea6df82c7997da6abcbc159fb4",
    "style": "5a9a049a24a9a53e67b4ad97f1fb7633b4629f6ce461662888804313cc90c27a",
    "format": "3b93ee931186edcb4e0a5f260de18cd550586c985192da39262fd023e90d8a76",
    "mixed": "eae529546e0ef6a4a4936b6221cd25da9debaf261272409ed1fd57e8260bf820",
    "example": "205d10ecde31b974f0c1537be4952b5e075ae5ca58008dc08aef1c442c32bada",
}
SOURCES = tuple(
    Source(
        "FollowBench",
        f"followbench/{category}_constraints.json",
        0,
        sha256=_SHA256[category],
        origin=f"data/{category}_constraints.json of github.com/YJiangcm/FollowBench at 6278f4c1377b",
    )
    for category in CATEGORIES
)
"""A file for each category, in their order."""
_GREEDY = Sampling(max_tokens=2048)
_PROMPT = Path(__file__).with_name("prompts") / "followbench.txt"
_KINDS = {
    "content": "content constraint",
    "situation": "constraint on the situation or background",
    "style": "style constraint",
    "format": "format constraint",
    "mixed": "constraint",
}
_FILE = re.compile(rf"(?:(?P<model>.*)_)?(?P<category>{'|'.join(CATEGORIES)})_constraint\.jsonl")
_REMINDER = "Give only the last line again: a Python list of {level} strings, 'YES' or 'NO'."
_PUBLISHED = re.compile(
    r"#Initial Instruction \+ (?P<level>\d) constraints?#\n(?P<instruction>(?:(?!#Initial Instruction \+).)*?)\n\n"
    r"#Answer of Initial Instruction \+ (?P=level) constraints?#\n",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Item:
    """One instruction. ``versions``: the instructions of levels 0 to ``level`` (empty for examples)."""

    category: str
    example: int
    level: int
    source: str
    instruction: str
    target: str
    versions: tuple[str, ...]

    @property
    def id(self) -> str:
        """``category/example/level``."""
        return f"{self.category}/{self.example}/{self.level}"

    @property
    def rule_based(self) -> bool:
        """Whether rules judge it."""
        return rules.is_rule_based(self.category, self.source, self.example)


def load(data_dir: str | Path | None) -> list[Item]:
    """All 820 items, from ``followbench/<category>_constraints.json`` under ``data_dir``. Raises :class:`DataError`."""
    items = []
    for category, source in zip(CATEGORIES, SOURCES, strict=True):
        path = locate(source, None if data_dir is None else str(data_dir))
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            versions: list[str] = []
            for row in rows:
                level = row["level"]
                # Examples have no level 0: every level is an instruction of its own.
                versions = [row["instruction"]] if level == 0 else [*versions, row["instruction"]]
                if level == 0:
                    continue
                history = () if category == "example" else tuple(versions)
                if history and len(history) != level + 1:
                    raise DataError(f"{path}: example {row['example_id']} has no level {len(history) - 1}")
                items.append(
                    Item(category, row["example_id"], level, row["source"], row["instruction"], row["target"], history)
                )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is no FollowBench file: {error!r}") from None
    return items


def generate(
    generator: Generator, items: Iterable[Item], sampling: Sampling = _GREEDY, seed: int = 0
) -> Iterator[tuple[Item, str]]:
    """Answers in order."""

    def request(item: Item) -> Request:
        return Request(messages=user(item.instruction), sampling=sampling, seed=seed)

    asked = answer(generator, items, request)
    return ((item, text(reply)) for item, reply in asked)


def read_answers(path: Path, items: Sequence[Item], model: str | None = None) -> Alignment:
    """Answers in the published form: rows ``{"prompt_new": …, "choices": [{"message": {"content": …}}]}`` in a file, or
    in the files ``<model>_<category>_constraint.jsonl`` of a folder. The caller checks the alignment."""
    given = [Given(line, content, prompt=prompt) for line, prompt, content in _chat_rows(path, model)]
    return align([Question(item.id, item.instruction) for item in items], given, str(path))


def judge_prompt(item: Item, reply: str) -> str:
    """What the judge is asked about ``reply``."""
    versions = "\n\n".join(
        f"=== Instruction {level} ===\n{version or '(no instruction)'}" for level, version in enumerate(item.versions)
    )
    return _PROMPT.read_text(encoding="utf-8").format(
        kind=_KINDS[item.category],
        versions=versions,
        level=item.level,
        answer=reply,
        example=str(["YES", "NO", "NO", "YES", "YES"][: item.level]),
    )


def parse(reply: str, level: int) -> tuple[bool, ...] | None:
    """The verdict on a reply's last line: a list of ``level`` YES or NO; at level 1 the word alone will do."""
    last = reply.strip().split("\n")[-1]
    if level == 1:
        return (True,) if "YES" in last else (False,) if "NO" in last else None
    found = re.search(r"\[(.*)\]", last)
    words = [word.strip().strip("'\"") for word in found[1].rstrip(", ").split(",")] if found else []
    return tuple(word == "YES" for word in words) if len(words) == level and set(words) <= {"YES", "NO"} else None


def score(answered: Iterable[tuple[Item, str]], judge: Judge | None, model: str) -> Iterator[EvaluationItem]:
    """Items judged by rules, then those judged by ``judge``; without one these are left out."""
    to_judge = []
    for item, reply in answered:
        if item.rule_based:
            followed = rules.satisfied(item.category, item.source, item.example, item.level, item.target, reply)
            yield _scored(item, reply, float(followed), float(followed), model, None, "rules")
        elif judge is not None:
            to_judge.append((item, reply))
    for level in range(1, LEVELS + 1):
        asked = [(item, reply) for item, reply in to_judge if item.level == level]
        if judge is None or not asked:
            continue
        verdicts = judge.ask(
            (user(judge_prompt(item, reply)) for item, reply in asked),
            lambda reply, level=level: parse(reply, level),  # type: ignore[misc]
            _REMINDER.format(level=level),
        )
        for (item, reply), verdict in zip(asked, verdicts, strict=True):
            yield _judged(item, reply, verdict.value, model, judge.name)


def read_judgments(path: Path, items: Sequence[Item], model: str | None = None) -> dict[str, tuple[bool, ...] | None]:
    """Published judgments (a file, or the files of a folder): item id → verdict, None where it can't be parsed.

    Rows are ``{"prompt_new": <judge prompt>, "choices": […]}``; the prompt says which item it is about.
    Raises :class:`DataError` naming judgments of unknown items, second judgments, and items without one.
    """
    by_instruction = {item.instruction: item for item in items if not item.rule_based}
    verdicts: dict[str, tuple[bool, ...] | None] = {}
    for line, prompt, content in _chat_rows(path, model):
        found = _PUBLISHED.search(prompt)
        item = by_instruction.get(found["instruction"]) if found else None
        if found is None or item is None or item.level != int(found["level"]):
            raise DataError(f"{path}: judgment {line} is about no judged item of FollowBench: {prompt[-80:]!r}")
        if item.id in verdicts:
            raise DataError(f"{path}: {item.id} is judged twice")
        verdicts[item.id] = parse(content, item.level)
    absent = [item.id for item in by_instruction.values() if item.id not in verdicts]
    if absent:
        raise DataError(f"{path} has no judgment of {len(absent)} items, {absent[0]} the first")
    return verdicts


def rescore(
    answers: dict[str, str], verdicts: dict[str, tuple[bool, ...] | None], items: Sequence[Item], model: str, judge: str
) -> Iterator[EvaluationItem]:
    """Existing answers (by item id) with existing judgments; rules judge again."""
    judged = {item.id: item for item in items if not item.rule_based}
    ruled = ((item, answers[item.id]) for item in items if item.id not in judged and item.id in answers)
    yield from score(ruled, None, model)
    for id, verdict in verdicts.items():
        yield _judged(judged[id], answers.get(id, ""), verdict, model, judge)


def aggregate(items: Iterable[EvaluationItem], seed: int = 0) -> list[Result]:
    """HSR and SSR by level and on average, CSL, overall and by category; intervals from a bootstrap over groups.

    Shares are in [0, 1], CSL in [0, 5]. A category without a complete group is left out, and the results are marked
    as a sample. Raises :class:`DataError` when no group is complete.
    """
    groups: dict[str, dict[str, dict[int, EvaluationItem]]] = {category: {} for category in CATEGORIES}
    model, judges, total = "", set(), 0
    for item in items:
        category, example, level = item.id.split("/")
        levels = groups[category].setdefault(example, {})
        if int(level) in levels:
            raise DataError(f"FollowBench: item {item.id} is there twice (of {model} and {item.model})")
        levels[int(level)] = item
        model, total = item.model, total + 1
        judges |= {item.judge} if item.judge else set()
    whole = {
        category: [[levels[n] for n in range(1, LEVELS + 1)] for levels in found.values() if len(levels) == LEVELS]
        for category, found in groups.items()
    }
    whole = {category: found for category, found in whole.items() if found}
    if not whole:
        raise DataError("FollowBench: no group has an item at every level")
    sample = sum(len(found) for found in whole.values()) * LEVELS < total or len(whole) < len(CATEGORIES)
    results = []
    for metric, measure in _measures().items():
        values = {category: [measure(group) for group in found] for category, found in whole.items()}
        parts = {metric: values}
        if "level" not in metric:
            parts |= {f"{metric}/{category}": {category: found} for category, found in values.items()}
        for name, strata in parts.items():
            found = stratified_bootstrap(list(strata.values()), seed)
            results.append(
                Result(
                    benchmark=BENCHMARK,
                    metric=name,
                    value=found.value,
                    n=found.n,
                    low=found.low,
                    high=found.high,
                    model=model,
                    seed=seed,
                    judge=", ".join(sorted(judges)) or None,
                    sample=sample,
                )
            )
    return results


def consecutive(group: Sequence[EvaluationItem]) -> int:
    """How many levels are fully satisfied, one after the other, from level 1."""
    return next((n for n, item in enumerate(group) if item.scores["hsr"] < 1), LEVELS)


def _measures() -> dict[str, Any]:
    """Metric → its value for a group of five items."""
    measures: dict[str, Any] = {}
    for score in ("hsr", "ssr"):
        for level in range(LEVELS):
            measures[f"{score}_level_{level + 1}"] = lambda group, s=score, n=level: group[n].scores[s]
        measures[score] = lambda group, s=score: sum(item.scores[s] for item in group) / LEVELS
    measures["csl"] = consecutive
    return measures


def _judged(item: Item, reply: str, verdict: tuple[bool, ...] | None, model: str, judge: str) -> EvaluationItem:
    share = sum(verdict) / item.level if verdict else 0.0
    detail = "unparsable judgment" if verdict is None else " ".join("YES" if held else "NO" for held in verdict)
    return _scored(item, reply, float(share == 1), share, model, judge, detail)


def _scored(
    item: Item, reply: str, hsr: float, ssr: float, model: str, judge: str | None, detail: str
) -> EvaluationItem:
    return EvaluationItem(
        id=item.id,
        benchmark=BENCHMARK,
        model=model,
        prompt=item.instruction,
        response=reply,
        scores={"hsr": hsr, "ssr": ssr},
        labels=(item.category, f"level {item.level}"),
        judge=judge,
        detail=detail,
    )


def _chat_rows(path: Path, model: str | None = None) -> Iterator[tuple[int, str, str]]:
    """(line, prompt, content) of a file of chat completions, or of a folder's category files one after another;
    ``model``: of a folder that holds several models' files, only this one's."""
    files = [path]
    if path.is_dir():
        found = [(match, file) for file in sorted(path.iterdir()) if (match := _FILE.fullmatch(file.name))]
        mine = (
            [(match, file) for match, file in found if (match["model"] or "") == model]
            if len(models(path)) > 1
            else found
        )
        files = [file for category in CATEGORIES for match, file in mine if match["category"] == category]
    if not files or not files[0].is_file():
        raise DataError(f"{path} holds no FollowBench file (expected <model>_<category>_constraint.jsonl)")
    for file in files:
        for line, row in read_jsonl(file, "prompt_new", "choices"):
            try:
                content = row["choices"][0]["message"]["content"]
            except (IndexError, KeyError, TypeError):
                raise DataError(f"{file}:{line}: has no choices[0].message.content") from None
            yield line, row["prompt_new"], content or ""


def models(path: Path) -> list[str]:
    """Whose files a folder of the published form holds."""
    names = [file.name for file in path.iterdir()] if path.is_dir() else []
    return sorted({match["model"] or "" for name in names if (match := _FILE.fullmatch(name))})
