"""MMLU (Hendrycks et al. 2021), five-shot by log-likelihood: 14 042 questions on 57 subjects.

Read from ``mmlu/<subject>/{dev,test}`` under ``data_dir`` (folders that ``datasets`` saved), or from the hub's two
parquet files, which may lie there as ``mmlu/dev.parquet`` and ``mmlu/test.parquet``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autoif.errors import DataError
from autoif.records import EvaluationItem
from evaluation import choice, data
from evaluation.benchmark import Benchmark, Setup
from evaluation.choice import Item, Style
from evaluation.data import Source
from evaluation.lm_tasks import FOLDER, package_missing

BENCHMARK = "mmlu"
_HUB = ("cais/mmlu", "c30699e8356da336a370243923dbaf21066bb9fe")
SOURCES = {
    split: Source("MMLU", f"mmlu/{split}.parquet", rows, _HUB[0], f"all/{split}-00000-of-00001.parquet", _HUB[1])
    for split, rows in (("dev", 285), ("test", 14_042))
}
STYLE = Style("The following are multiple choice questions (with answers) about {}.\n\n", "Answer:")


def categories() -> dict[str, str]:
    """Subject → stem, humanities, social_sciences or other, in lm-eval's division."""
    by_category: dict[str, list[str]] = json.loads((FOLDER / "mmlu_subjects.json").read_text(encoding="utf-8"))
    return {subject: category for category, subjects in by_category.items() for subject in subjects}


def load(data_dir: str | None, split: str) -> dict[str, list[Item]]:
    """The questions of ``dev`` or ``test`` by subject. Raises :class:`DataError` for missing or malformed data."""
    found: dict[str, list[Item]] = {subject: [] for subject in sorted(categories())}
    for subject, row, where in _rows(data_dir, split):
        if subject not in found:
            raise DataError(f"{where}: MMLU has no subject {subject!r}")
        found[subject].append(choice.item(row, subject, len(found[subject]), where))
    return {subject: items for subject, items in found.items() if items}


def _rows(data_dir: str | None, split: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    folder = _folder(data_dir)
    if folder is None:
        path = data.locate(SOURCES[split], data_dir)
        for line, row in data.read_jsonl(path, "subject", "question", "choices", "answer"):
            yield row["subject"], row, f"{path}:{line}"
        return
    from datasets import load_from_disk

    for subject in sorted(categories()):
        there = folder / subject / split
        if not there.is_dir():
            raise DataError(f"MMLU: {there} is missing: put the subject's folder there")
        for place, row in enumerate(load_from_disk(str(there)), 1):
            yield subject, row, f"{there}, row {place}"


def _folder(data_dir: str | None) -> Path | None:
    """``<data_dir>/mmlu`` where it holds a folder for each subject."""
    if data_dir is None:
        return None
    folder = Path(data_dir).expanduser() / "mmlu"
    return folder if (folder / "abstract_algebra").is_dir() else None


def contexts(data_dir: str | None, limit: int | None, shots: int) -> list[tuple[Item, str]]:
    """The first ``limit`` questions of each subject, each with what is asked."""
    solved = load(data_dir, "dev")
    return [
        (it, STYLE.context(it, solved.get(subject, [])[:shots], subject.replace("_", " ")))
        for subject, items in load(data_dir, "test").items()
        for it in choice.first(items, limit)
    ]


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    asked = contexts(setup.data_dir, setup.settings.limit, setup.shots)
    setup.facts.update(sample=setup.settings.limit is not None, shots=setup.shots)
    yield from choice.evaluate(
        setup.scorer(),
        BENCHMARK,
        asked,
        model=setup.model,
        categories=categories(),
        facts=setup.facts,
        work=setup.work,
    )


class _Mmlu(Benchmark):
    """Its files may also lie as folders."""

    __slots__ = ()

    def missing(self, data_dir: str | None) -> str | None:
        """As in the base, for either form."""
        return self.lacks(data_dir) if _folder(data_dir) is not None else super().missing(data_dir)

    def content(self, data_dir: str | None) -> dict[str, str]:
        """As in the base, for either form."""
        folder = _folder(data_dir)
        if folder is None:
            return super().content(data_dir)
        return {split: data.sha256_of_all(sorted(folder.glob(f"*/{split}/*.arrow")), folder) for split in SOURCES}


DEFINITION = _Mmlu(
    name=BENCHMARK,
    size=14_042,
    sources=tuple(SOURCES.values()),
    measure=_measure,
    rescore=choice.no_answers,
    lacks=lambda _: package_missing(),
    parts=57,
)
