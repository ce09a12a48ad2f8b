"""C-Eval (Huang et al. 2023), five-shot by log-likelihood on its validation questions: 1346 on 52 subjects.

Read from ``ceval/ceval-exam.zip`` under ``data_dir``, or from the hub: the archive that its authors publish, with
``dev/<subject>_dev.csv`` and ``val/<subject>_val.csv``. The answers to its test questions are not public.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from autoif.errors import DataError
from autoif.records import EvaluationItem
from evaluation import choice
from evaluation.benchmark import Benchmark, Setup
from evaluation.choice import Item, Style
from evaluation.data import Source
from evaluation.lm_tasks import FOLDER, package_missing

BENCHMARK = "ceval"
SOURCE = Source("C-Eval", "ceval/ceval-exam.zip", 1346, "ceval/ceval-exam", "ceval-exam.zip")
STYLE = Style("以下是中国关于{}的单项选择题，请选出其中的正确答案。\n\n", "答案：")


def subjects() -> dict[str, str]:
    """Subject → its Chinese name, as lm-eval's tasks say it."""
    found: dict[str, str] = json.loads((FOLDER / "ceval_subjects.json").read_text(encoding="utf-8"))
    return found


def load(path: Path, split: str) -> dict[str, list[Item]]:
    """The questions of ``dev`` or ``val`` by subject. Raises :class:`DataError` for a damaged archive."""
    found: dict[str, list[Item]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for subject in subjects():
                name = f"{split}/{subject}_{split}.csv"
                rows = csv.DictReader(io.StringIO(archive.read(name).decode("utf-8-sig")))
                found[subject] = [
                    choice.item(row, subject, place, f"{path}: {name}, row {place + 1}")
                    for place, row in enumerate(rows)
                ]
    except (zipfile.BadZipFile, KeyError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"C-Eval: {path} is not its archive of CSV files: {error}") from None
    return found


def contexts(path: Path, limit: int | None, shots: int) -> list[tuple[Item, str]]:
    """The first ``limit`` questions of each subject, each with what is asked."""
    solved, names = load(path, "dev"), subjects()
    return [
        (it, STYLE.context(it, solved[subject][:shots], names[subject]))
        for subject, items in load(path, "val").items()
        for it in choice.first(items, limit)
    ]


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    asked = contexts(setup.path(SOURCE), setup.settings.limit, setup.shots)
    setup.facts.update(sample=setup.settings.limit is not None, shots=setup.shots)
    yield from choice.evaluate(
        setup.scorer(), BENCHMARK, asked, model=setup.model, categories={}, facts=setup.facts, work=setup.work
    )


DEFINITION = Benchmark(
    name=BENCHMARK,
    size=SOURCE.rows,
    sources=(SOURCE,),
    measure=_measure,
    rescore=choice.no_answers,
    lacks=lambda _: package_missing(),
    parts=52,
)
