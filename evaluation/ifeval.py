"""IFEval (Zhou et al. 2023) through lm-eval's Python API: load → generate → score → aggregate.

The checkers are lm-eval's, so scores equal its own. They draw at random where an item's arguments are out of range
(1122 and 1129 ask for the "letters" # and !) and in language detection; here the draw depends on the item alone, so
a score is the same whatever else was scored before, and an instruction followed strictly is also followed loosely.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoif.errors import DataError, MissingExtraError
from autoif.generation.base import Generator, Sampling
from autoif.records import EvaluationItem
from evaluation import lm_tasks
from evaluation.benchmark import Benchmark, Existing, Setup
from evaluation.data import IFEVAL, read_jsonl, use_nltk
from evaluation.responses import Question, ReplayGenerator, align, read_responses

if TYPE_CHECKING:
    from datasets import Dataset

BENCHMARK = "ifeval"
PROMPT_METRICS = ("prompt_level_strict_acc", "prompt_level_loose_acc")
INSTRUCTION_METRICS = ("inst_level_strict_acc", "inst_level_loose_acc")
_PUNKT = Path("tokenizers") / "punkt_tab"
_PACKAGES = ("nltk", "langdetect", "immutabledict")


def questions(path: Path) -> list[Question]:
    """The benchmark's prompts in order. Raises :class:`DataError` for a file that isn't IFEval's."""
    found = []
    for line, row in read_jsonl(path, "key", "prompt", "instruction_id_list", "kwargs"):
        if len(row["instruction_id_list"]) != len(row["kwargs"]):
            raise DataError(
                f"{path}:{line}: {len(row['kwargs'])} kwargs for {len(row['instruction_id_list'])} instructions"
            )
        found.append(Question(str(row["key"]), row["prompt"]))
    if len({question.id for question in found}) < len(found) or not found:
        raise DataError(f"{path} is no {IFEVAL.benchmark} file: it has {'equal keys' if found else 'no rows'}")
    return found


def evaluate(
    generator: Generator,
    path: Path,
    *,
    model: str,
    limit: int | None = None,
    max_tokens: int = 1280,
    temperature: float = 0.0,
    seed: int = 0,
    only: frozenset[str] | None = None,
    facts: dict[str, Any] | None = None,
) -> Iterator[EvaluationItem]:
    """Answer the benchmark at ``path`` with ``generator`` and score the answers.

    ``limit``: the first so many prompts; ``only``: the items with these keys; ``facts`` takes lm-eval's version, the
    number of unanswerable prompts, and whether only a part was run.
    """
    items = questions(path)
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
    _, samples = lm_tasks.run_chosen(
        generator, BENCHMARK, path, items, limit=limit, only=only, sampling=sampling, seed=seed, facts=facts
    )
    if facts is not None:
        facts["unanswerable"] = sum(bool(sample.failure) for sample in samples)
    for sample in samples:
        yield _item(sample, model)


def rescore(
    responses: Path, path: Path, *, model: str, partial: bool = False, facts: dict[str, Any] | None = None
) -> Iterator[EvaluationItem]:
    """Score existing answers (prompt/response JSONL, as the benchmark's authors publish them) without a model.

    Raises :class:`DataError` naming missing (unless ``partial``), duplicated and foreign answers; what is harmless
    goes into ``facts["notes"]``.
    """
    asked = questions(path)
    alignment = align(asked, read_responses(responses), str(responses)).check(partial)
    prompts = {question.id: question.prompt for question in asked}
    replay = ReplayGenerator({prompts[id]: response for id, response in alignment.responses.items()})
    if facts is not None:
        facts.setdefault("notes", []).extend(alignment.notes())
    yield from evaluate(replay, path, model=model, only=frozenset(alignment.responses), facts=facts)


def prepare(data_dir: str | None) -> None:
    """Make NLTK find its sentence model before lm-eval's module looks for it.

    Raises:
        MissingExtraError: without lm-eval or what its IFEval needs.
        DataError: when ``punkt_tab`` is neither on this machine nor to be had.
    """
    if package := package_missing():
        raise MissingExtraError(package.split()[0], "eval")
    import nltk

    from evaluation.lm_bridge import quiet

    use_nltk(data_dir)
    with quiet():  # on import, lm-eval's module tries to download punkt_tab where there is none
        import_module("lm_eval.tasks.ifeval.utils")
    try:
        nltk.data.find(f"{_PUNKT}/")
    except LookupError:
        where = Path(data_dir or "<evaluation.data_dir>") / "nltk_data" / _PUNKT
        raise DataError(
            f"IFEval needs NLTK's punkt_tab: put its folder at {where}, or run "
            "`python -m nltk.downloader punkt_tab` where there is a network"
        ) from None


def package_missing() -> str | None:
    """Which Python package the checkers lack, and what to do, or None; imports nothing."""
    return lm_tasks.package_missing(*_PACKAGES)


def punkt_missing(data_dir: str | None) -> str | None:
    """Why the checkers can't run without a network, or None; imports nothing."""
    folders = [Path(data_dir).expanduser() / "nltk_data"] if data_dir is not None else []
    folders += [Path(folder) for folder in os.environ.get("NLTK_DATA", "").split(os.pathsep) if folder]
    roots = ("~", sys.prefix, f"{sys.prefix}/share", "/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")
    folders += [Path(root).expanduser() / "nltk_data" for root in roots]
    if any((folder / _PUNKT).is_dir() for folder in folders):
        return None
    return f"NLTK's punkt_tab is missing (looked for {folders[0] / _PUNKT})"


def dataset(path: str, chosen: list[int] | None = None, **_: Any) -> dict[str, Dataset]:
    """lm-eval's ``custom_dataset`` hook: the rows at the places ``chosen`` (null: all) of the file at ``path``."""
    from datasets import Dataset
    from lm_eval.tasks.ifeval.instructions_registry import INSTRUCTION_DICT

    rows = [row for _, row in read_jsonl(Path(path), "key", "prompt", "instruction_id_list", "kwargs")]
    if unknown := {name for row in rows for name in row["instruction_id_list"]} - set(INSTRUCTION_DICT):
        raise DataError(f"{path}: IFEval's checkers do not know the instruction {sorted(unknown)[0]}")
    return {"test": Dataset.from_list(rows if chosen is None else [rows[index] for index in chosen])}


def score(doc: Mapping[str, Any], results: list[str]) -> dict[str, Any]:
    """lm-eval's ``process_results`` hook: its own strict and loose checks, each from the same random state."""
    from langdetect import DetectorFactory
    from lm_eval.tasks.ifeval import utils

    DetectorFactory.seed = 0
    example = utils.InputExample(doc["key"], doc["instruction_id_list"], doc["prompt"], doc["kwargs"])
    state = random.getstate()
    try:
        random.seed(doc["key"])
        strict = utils.test_instruction_following_strict(example, results[0])
        random.seed(doc["key"])
        loose = utils.test_instruction_following_loose(example, results[0])
    finally:
        random.setstate(state)
    return {
        "prompt_level_strict_acc": strict.follow_all_instructions,
        "inst_level_strict_acc": strict.follow_instruction_list,
        "prompt_level_loose_acc": loose.follow_all_instructions,
        "inst_level_loose_acc": loose.follow_instruction_list,
    }


def mean_of_parts(items: list[list[bool]]) -> float:
    """lm-eval's aggregation hook: the share of instructions followed, over all instructions of all prompts."""
    flat = [followed for item in items for followed in item]
    return sum(flat) / len(flat)


def _item(sample: lm_tasks.Sample, model: str) -> EvaluationItem:
    return EvaluationItem(
        id=str(sample.document["key"]),
        benchmark=BENCHMARK,
        model=model,
        prompt=sample.document["prompt"],
        response=sample.response,
        scores={metric: float(sample.metrics[metric]) for metric in PROMPT_METRICS},
        parts={metric: tuple(map(float, sample.metrics[metric])) for metric in INSTRUCTION_METRICS},
        labels=tuple(sample.document["instruction_id_list"]),
        detail=sample.failure,
    )


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    path = setup.path(IFEVAL)
    prepare(setup.data_dir)
    return evaluate(setup.generator, path, **setup.options())


def _existing(given: Existing) -> Iterator[EvaluationItem]:
    path, responses = given.path(IFEVAL), given.need("responses")
    prepare(given.data_dir)
    yield from rescore(responses, path, model=given.label, partial=given.partial, facts=given.facts)


DEFINITION = Benchmark(
    name=BENCHMARK,
    size=IFEVAL.rows,
    sources=(IFEVAL,),
    measure=_measure,
    rescore=_existing,
    lacks=lambda data_dir: package_missing() or punkt_missing(data_dir),
)
