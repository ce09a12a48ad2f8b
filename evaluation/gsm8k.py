"""GSM8K (Cobbe et al. 2021), zero-shot chain of thought, through lm-eval: load → generate → score.

``flexible_extract`` is the number to read: whether the last number of the answer is the right one. ``strict_match``
waits for "The answer is", which the prompt does not ask for. The file has no keys: an item's id is its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autoif.errors import DataError
from autoif.generation.base import Generator, Sampling
from autoif.records import EvaluationItem
from evaluation import lm_tasks
from evaluation.benchmark import Benchmark, Existing, Setup
from evaluation.data import Source, read_jsonl
from evaluation.responses import Given, Question, ReplayGenerator, align, read_responses

if TYPE_CHECKING:
    from datasets import Dataset

BENCHMARK = "gsm8k"
SOURCE = Source(
    "GSM8K",
    "gsm8k/test.jsonl",
    1319,
    "openai/gsm8k",
    "main/test-00000-of-00001.parquet",
    "740312add88f781978c0658806c59bc2815b9866",
    "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
)
PROMPT = "Q: {question}\nA: Let's think step by step."
_MARKED = re.compile(r"#### (-?[0-9.,]+)")
_METRICS = {"flexible-extract": "flexible_extract", "strict-match": "strict_match"}


def questions(path: Path) -> list[Question]:
    """The benchmark's prompts in order. Raises :class:`DataError` for a file that isn't GSM8K's."""
    found: list[Question] = []
    for line, row in read_jsonl(path, "question", "answer"):
        if "#### " not in row["answer"]:
            raise DataError(f"{path}:{line}: the answer does not end with '#### <number>'")
        found.append(Question(str(len(found)), PROMPT.format(question=row["question"])))
    return found


def evaluate(
    generator: Generator,
    path: Path,
    *,
    model: str,
    limit: int | None = None,
    max_tokens: int = 1024,
    temperature: float = 0.0,
    seed: int = 0,
    only: frozenset[str] | None = None,
    facts: dict[str, Any] | None = None,
) -> Iterator[EvaluationItem]:
    """Answer the problems at ``path`` and score the answers; parameters as in :func:`evaluation.ifeval.evaluate`."""
    items = questions(path)
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
    chosen, samples = lm_tasks.run_chosen(
        generator, BENCHMARK, path, items, limit=limit, only=only, sampling=sampling, seed=seed, facts=facts
    )
    if facts is not None:
        facts["unanswerable"] = sum(bool(sample.failure) for sample in samples) // len(_METRICS)
    by_filter: dict[str, list[lm_tasks.Sample]] = {name: [] for name in _METRICS}
    for sample in samples:
        by_filter[sample.filter].append(sample)
    for index, *both in zip(chosen, *by_filter.values(), strict=True):
        yield EvaluationItem(
            id=items[index].id,
            benchmark=BENCHMARK,
            model=model,
            prompt=items[index].prompt,
            response=both[0].response,
            scores={_METRICS[sample.filter]: float(sample.metrics["exact_match"]) for sample in both},
            detail=both[0].failure,
        )


def rescore(
    responses: Path, path: Path, *, model: str, partial: bool = False, facts: dict[str, Any] | None = None
) -> Iterator[EvaluationItem]:
    """Score existing answers without a model: JSONL rows with ``response`` and ``key`` (the problem's place) or
    ``prompt`` (as asked, or the bare question).

    Where answers are marked as the training solutions are, by ``#### <number>``, ``marked_answer`` scores that number
    alone, as the benchmark's authors do.
    """
    yield from _rescored(read_responses(responses), str(responses), path, model, partial, facts)


def _rescored(
    given: Iterable[Given], source: str, path: Path, model: str, partial: bool, facts: dict[str, Any] | None
) -> Iterator[EvaluationItem]:
    asked = questions(path)
    bare = {item.prompt.removeprefix("Q: ").split("\nA: Let's think")[0]: item for item in asked}
    as_asked = [
        Given(row.line, row.response, row.key, bare[row.prompt].prompt) if row.prompt in bare else row for row in given
    ]
    alignment = align(asked, as_asked, source).check(partial)
    prompts = {question.id: question.prompt for question in asked}
    replay = ReplayGenerator({prompts[id]: response for id, response in alignment.responses.items()})
    if facts is not None:
        facts.setdefault("notes", []).extend(alignment.notes())
    items = evaluate(replay, path, model=model, only=frozenset(alignment.responses), facts=facts)
    if not any(_MARKED.search(response) for response in alignment.responses.values()):
        yield from items
        return
    solutions = references(path)
    for item in items:
        said, right = _MARKED.search(item.response), _MARKED.search(solutions[item.id])
        same = said is not None and right is not None and said[1].replace(",", "") == right[1].replace(",", "")
        yield msgspec.structs.replace(item, scores={**item.scores, "marked_answer": float(same)})


def references(path: Path) -> dict[str, str]:
    """The benchmark's own solutions by item id."""
    return {str(place): row["answer"] for place, (_, row) in enumerate(read_jsonl(path, "question", "answer"))}


def read_solutions(path: Path) -> dict[str, list[Given]]:
    """The authors' file of model solutions: rows with a ``question`` and, by model, ``{"solution": …}``.

    Empty when the file has another form.
    """
    found: dict[str, list[Given]] = {}
    for line, row in read_jsonl(path):
        for model, value in row.items():
            if isinstance(value, dict) and isinstance(value.get("solution"), str) and "question" in row:
                found.setdefault(model, []).append(Given(line, value["solution"], prompt=row["question"].strip()))
    return found


def dataset(path: str, chosen: list[int] | None = None, **_: Any) -> dict[str, Dataset]:
    """lm-eval's ``custom_dataset`` hook: the rows at the places ``chosen`` (null: all) of the file at ``path``."""
    from datasets import Dataset

    rows = [row for _, row in read_jsonl(Path(path), "question", "answer")]
    return {"test": Dataset.from_list(rows if chosen is None else [rows[index] for index in chosen])}


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    return evaluate(setup.generator, setup.path(SOURCE), **setup.options())


def _existing(given: Existing) -> Iterator[EvaluationItem]:
    path, responses = given.path(SOURCE), given.need("responses")
    solutions = read_solutions(responses)
    if solutions and given.model is not None and given.model not in solutions:
        raise DataError(f"{responses} has no solutions of {given.model}: there are some of {', '.join(solutions)}")
    if not solutions:
        yield from rescore(responses, path, model=given.label, partial=given.partial, facts=given.facts)
    for model in [given.model] if given.model in solutions else solutions:
        yield from _rescored(solutions[model], str(responses), path, model, given.partial, given.facts)


DEFINITION = Benchmark(
    name=BENCHMARK,
    size=SOURCE.rows,
    sources=(SOURCE,),
    measure=_measure,
    rescore=_existing,
    references=lambda given: references(given.path(SOURCE)),
    lacks=lambda _: lm_tasks.package_missing(),
)
