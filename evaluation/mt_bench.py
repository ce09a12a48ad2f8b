"""MT-Bench (Zheng et al. 2023): two turns, each graded 1 to 10 by a judge; math, reasoning and coding with references.

The score is the mean over all judged turns; a judgment without a rating is left out, as published. Judge prompts are
the benchmark's own data file, so grades can be compared with published ones of the same judge.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoif.errors import DataError
from autoif.generation.base import Generator, Request, Sampling, user
from autoif.records import EvaluationItem, Message
from evaluation.answering import answer, text
from evaluation.data import Source, locate, read_jsonl
from evaluation.judge import Judge
from evaluation.responses import Alignment, names

BENCHMARK = "mt_bench"
TURNS = 2
REFERENCED = frozenset({"math", "reasoning", "coding"})
TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
"""By category; others are answered greedily."""
_FASTCHAT = "fastchat/llm_judge/data of github.com/lm-sys/FastChat at 0e6d3e4beaab"
_SPACE = ("lmsys/mt-bench", "data/mt_bench")
QUESTIONS = Source(
    "MT-Bench",
    "mt_bench/question.jsonl",
    80,
    _SPACE[0],
    f"{_SPACE[1]}/question.jsonl",
    sha256="119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
    origin=f"mt_bench/question.jsonl in {_FASTCHAT}",
    space=True,
)
REFERENCES = Source(
    "MT-Bench",
    "mt_bench/reference_answer_gpt-4.jsonl",
    30,
    _SPACE[0],
    f"{_SPACE[1]}/reference_answer/gpt-4.jsonl",
    sha256="f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",
    origin=f"mt_bench/reference_answer/gpt-4.jsonl in {_FASTCHAT}",
    space=True,
)
JUDGE_PROMPTS = Source(
    "MT-Bench",
    "mt_bench/judge_prompts.jsonl",
    8,
    sha256="fd283293406d024f44c174b094ef48031d0687a4682fd3a56b29b138f80281b6",
    origin=f"judge_prompts.jsonl in {_FASTCHAT}",
)
_RATING = (re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]"))
_REMINDER = 'End your reply with the rating alone, in this form: "Rating: [[5]]".'


@dataclass(frozen=True, slots=True)
class Item:
    """A two-turn question; ``references``: reference answers of both turns where the category has them."""

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """A system prompt and a template with the fields of the benchmark's file."""

    system: str
    template: str


@dataclass(frozen=True, slots=True)
class Grade:
    """A published judgment of one turn; ``score`` is None where the judge gave no rating."""

    item: str
    model: str
    turn: int
    score: float | None
    judge: str
    judgment: str = ""


def load(data_dir: str | Path | None) -> list[Item]:
    """The questions with their reference answers, from ``mt_bench/`` under ``data_dir``. Raises :class:`DataError`."""
    answers, asked = _file(REFERENCES, data_dir), _file(QUESTIONS, data_dir)
    references = {}
    for line, row in read_jsonl(answers, "question_id", "choices"):
        references[str(row["question_id"])] = _turns(row, f"{answers}:{line}")
    items = []
    for line, row in read_jsonl(asked, "question_id", "category", "turns"):
        id, category = str(row["question_id"]), row["category"]
        if category in REFERENCED and len(references.get(id, ())) != TURNS:
            raise DataError(f"{asked}:{line}: question {id} ({category}) has no reference answer")
        items.append(Item(id, category, tuple(row["turns"]), references.get(id, ()) if category in REFERENCED else ()))
    return items


def load_prompts(data_dir: str | Path | None) -> dict[tuple[bool, int], JudgePrompt]:
    """The single-answer judge prompts by (with reference, turn)."""
    path = _file(JUDGE_PROMPTS, data_dir)
    named = {row["name"]: row for _, row in read_jsonl(path, "name", "system_prompt", "prompt_template")}
    wanted = {
        (False, 1): "single-v1",
        (True, 1): "single-math-v1",
        (False, 2): "single-v1-multi-turn",
        (True, 2): "single-math-v1-multi-turn",
    }
    if absent := [name for name in wanted.values() if name not in named]:
        raise DataError(f"{path} lacks the judge prompts {', '.join(absent)}")
    return {key: JudgePrompt(named[n]["system_prompt"], named[n]["prompt_template"]) for key, n in wanted.items()}


def generate(
    generator: Generator,
    items: Sequence[Item],
    max_tokens: int = 1024,
    seed: int = 0,
    temperature: float | None = None,
) -> list[tuple[Item, tuple[str, ...]]]:
    """Both turns of every question: all first turns, then all second turns in the light of the first answers.

    ``temperature``: in place of the category's.
    """
    talks: list[tuple[Message, ...]] = [() for _ in items]
    replies: list[tuple[str, ...]] = [() for _ in items]
    for turn in range(TURNS):
        talks = [(*talk, *user(item.turns[turn])) for talk, item in zip(talks, items, strict=True)]

        def request(index: int, talks: list[tuple[Message, ...]] = talks) -> Request:
            own = TEMPERATURES.get(items[index].category, 0.0)
            sampling = Sampling(temperature=own if temperature is None else temperature, max_tokens=max_tokens)
            return Request(messages=talks[index], sampling=sampling, seed=seed if sampling.temperature else 0)

        said = [text(reply) for _, reply in answer(generator, range(len(items)), request)]
        talks = [(*talk, Message(role="assistant", content=reply)) for talk, reply in zip(talks, said, strict=True)]
        replies = [(*before, reply) for before, reply in zip(replies, said, strict=True)]
    return list(zip(items, replies, strict=True))


def read_answers(path: Path, items: Sequence[Item]) -> dict[str, tuple[str, ...]]:
    """Answers in FastChat's ``model_answer`` form, by question id. Raises :class:`DataError` naming misfits."""
    known = {item.id for item in items}
    found: dict[str, tuple[str, ...]] = {}
    alignment = Alignment(str(path))
    for line, row in read_jsonl(path, "question_id", "choices"):
        id, turns = str(row["question_id"]), _turns(row, f"{path}:{line}")
        if len(turns) != TURNS:
            raise DataError(f"{path}:{line}: question {id} has {len(turns)} answers to {TURNS} turns")
        if id not in known or id in found:
            (alignment.duplicated if id in known else alignment.foreign).append(f"{id} (line {line})")
        found[id] = turns
    alignment.missing = [item.id for item in items if item.id not in found]
    alignment.check()
    return found


def judge_messages(
    prompts: dict[tuple[bool, int], JudgePrompt], item: Item, replies: Sequence[str], turn: int
) -> tuple[Message, ...]:
    """What the judge is asked about ``turn`` (1 or 2)."""
    prompt = prompts[bool(item.references), turn]
    fields = {"question": item.turns[0], "answer": replies[0]}
    for number in range(TURNS):
        fields |= {f"question_{number + 1}": item.turns[number], f"answer_{number + 1}": replies[number]}
        if item.references:
            fields[f"ref_answer_{number + 1}"] = item.references[number]
    return (Message(role="system", content=prompt.system), *user(_fill(prompt.template, fields)))


def parse(judgment: str) -> float | None:
    """The first ``[[rating]]``, else the first ``[rating]``; None where there is none."""
    for pattern in _RATING:
        if found := pattern.search(judgment):
            return float(found[1])
    return None


def score(
    answered: Iterable[tuple[Item, Sequence[str]]],
    judge: Judge,
    prompts: dict[tuple[bool, int], JudgePrompt],
    model: str,
) -> Iterator[EvaluationItem]:
    """One item a question, graded turn by turn."""
    pairs = list(answered)
    grades: list[list[float | None]] = [[] for _ in pairs]
    for turn in range(1, TURNS + 1):
        asked = (judge_messages(prompts, item, replies, turn) for item, replies in pairs)
        for index, verdict in enumerate(judge.ask(asked, parse, _REMINDER)):
            grades[index].append(verdict.value)
    for (item, replies), found in zip(pairs, grades, strict=True):
        yield _scored(item, replies, found, model, judge.name)


def read_judgments(path: Path) -> list[Grade]:
    """Published grades in FastChat's ``gpt-4_single`` form (any number of models; a score of −1 is no rating)."""
    grades = []
    for line, row in read_jsonl(path, "question_id", "model", "score", "turn", "judge"):
        value = row["score"]
        if not isinstance(value, int | float) or row["turn"] not in range(1, TURNS + 1):
            raise DataError(f"{path}:{line}: turn {row['turn']} with score {value!r}")
        judge = row["judge"][0] if isinstance(row["judge"], list) else str(row["judge"])
        found = None if value == -1 else float(value)
        grades.append(Grade(str(row["question_id"]), row["model"], row["turn"], found, judge, row.get("judgment", "")))
    return grades


def rescore(
    grades: Iterable[Grade], items: Sequence[Item], model: str, answers: dict[str, tuple[str, ...]] | None = None
) -> list[EvaluationItem]:
    """Items of ``model`` from published grades. Raises :class:`DataError` naming missing, foreign and repeated ones."""
    by_id = {item.id: item for item in items}
    found: dict[str, dict[int, float | None]] = defaultdict(dict)
    judges: set[str] = set()
    others: set[str] = set()
    for grade in grades:
        if grade.model != model:
            others.add(grade.model)
            continue
        if grade.item not in by_id:
            raise DataError(f"MT-Bench has no question {grade.item}, which a judgment of {model} is about")
        if grade.turn in found[grade.item]:
            raise DataError(f"turn {grade.turn} of question {grade.item} of {model} is judged twice")
        found[grade.item][grade.turn] = grade.score
        judges.add(grade.judge)
    if not found:
        raise DataError(f"no judgment of {model}; there are some of {names(sorted(others)) or 'nobody'}")
    absent = [f"{id} turn {turn}" for id in by_id for turn in range(1, TURNS + 1) if turn not in found.get(id, {})]
    if absent:
        raise DataError(f"no judgment of {model} on question {names(absent)}")
    judge = ", ".join(sorted(judges))
    given = answers or {}
    return [
        _scored(item, given.get(item.id, ("", "")), [found[item.id][turn] for turn in (1, 2)], model, judge)
        for item in items
    ]


def _scored(
    item: Item, replies: Sequence[str], grades: Sequence[float | None], model: str, judge: str
) -> EvaluationItem:
    rated = tuple(grade for grade in grades if grade is not None)
    parts: dict[str, tuple[float, ...]] = {"score": rated, f"score/{item.category}": rated}
    for turn, grade in enumerate(grades, 1):
        parts[f"score/turn_{turn}"] = () if grade is None else (grade,)
    said: list[Any] = [{"user": asked, "assistant": reply} for asked, reply in zip(item.turns, replies, strict=True)]
    return EvaluationItem(
        id=item.id,
        benchmark=BENCHMARK,
        model=model,
        prompt=item.turns[0],
        response=json.dumps(said, ensure_ascii=False),
        scores={},
        parts=parts,
        labels=(item.category,),
        judge=judge,
        detail=" ".join("?" if grade is None else f"{grade:g}" for grade in grades),
    )


def _fill(template: str, fields: dict[str, str]) -> str:
    """The template with its fields; braces inside answers stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda found: fields.get(found[1], found[0]), template)


def _turns(row: dict[str, Any], where: str) -> tuple[str, ...]:
    try:
        return tuple(turn or "" for turn in row["choices"][0]["turns"])
    except (IndexError, KeyError, TypeError):
        raise DataError(f"{where}: has no choices[0].turns") from None


def _file(source: Source, data_dir: str | Path | None) -> Path:
    return locate(source, None if data_dir is None else str(data_dir))
