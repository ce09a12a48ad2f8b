"""GSM8K (Cobbe et al. 2021), zero-shot chain of thought, through lm-eval: load → generate → score.

``flexible_extract`` is the number to read: whether the last number of the answer is the right one. ``strict_match``
waits for "The answer is", which the prompt does not ask for. The file has no keys: an item's id is its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoif.errors import DataError
from autoif.generation.base import Generator
from autoif.records import EvaluationItem
from evaluation import lm_tasks
from evaluation.benchmark import Benchmark, Setup
from evaluation.data import Source, read_jsonl
from evaluation.responses import Question, ReplayGenerator, align, read_responses

if TYPE_CHECKING:
    from datasets import Dataset

BENCHMARK = "gsm8k"
SOURCE = Source("GSM8K", "gsm8k/test.jsonl", 1319)
PROMPT = "Q: {question}\nA: Let's think step by step."
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
    seed: int = 0,
    only: frozenset[str] | None = None,
    facts: dict[str, Any] | None = None,
) -> Iterator[EvaluationItem]:
    """Answer the problems at ``path`` and score the answers; parameters as in :func:`evaluation.ifeval.evaluate`."""
    items = questions(path)
    chosen, samples = lm_tasks.run_chosen(
        generator, BENCHMARK, path, items, limit=limit, only=only, max_tokens=max_tokens, seed=seed, facts=facts
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
    ``prompt`` (as asked, or the bare question)."""
    asked = questions(path)
    bare = {item.prompt.removeprefix("Q: ").split("\nA: Let's think")[0]: item for item in asked}
    given = [
        type(row)(row.line, row.response, row.key, bare[row.prompt].prompt) if row.prompt in bare else row
        for row in read_responses(responses)
    ]
    alignment = align(asked, given, str(responses)).check(partial)
    prompts = {question.id: question.prompt for question in asked}
    replay = ReplayGenerator({prompts[id]: response for id, response in alignment.responses.items()})
    if facts is not None:
        facts["notes"] = alignment.notes()
    yield from evaluate(replay, path, model=model, only=frozenset(alignment.responses), facts=facts)


def dataset(path: str, chosen: list[int] | None = None, **_: Any) -> dict[str, Dataset]:
    """lm-eval's ``custom_dataset`` hook: the rows at the places ``chosen`` (null: all) of the file at ``path``."""
    from datasets import Dataset

    rows = [row for _, row in read_jsonl(Path(path), "question", "answer")]
    return {"test": Dataset.from_list(rows if chosen is None else [rows[index] for index in chosen])}


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    settings = setup.settings
    yield from evaluate(
        setup.generator,
        setup.path(SOURCE),
        model=setup.model,
        limit=settings.limit,
        max_tokens=settings.max_tokens,
        seed=setup.seed,
        facts=setup.facts,
    )


DEFINITION = Benchmark(
    name=BENCHMARK, size=SOURCE.rows, sources=(SOURCE,), measure=_measure, lacks=lambda _: lm_tasks.package_missing()
)
