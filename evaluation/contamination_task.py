"""``task=contamination``: how much of the benchmarks stands in a run's training sets, or in a file of training rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autoif.config import ContaminationConfig, RunConfig
from autoif.errors import ConfigError, DataError
from autoif.jsonrows import read_rows
from autoif.planning.text import aligned
from autoif.progress import track
from autoif.records import Contamination, Reject
from autoif.stage import Stage, run_stage
from autoif.store import Store
from evaluation import contamination_sets
from evaluation.contamination import Sample
from evaluation.contamination_rows import row_sample
from evaluation.contamination_stages import DATA, TABLE_4, judge_of, judging_role, measure, measuring

if TYPE_CHECKING:
    from autoif.engines import Engines


def check(config: RunConfig, stages: Sequence[Stage], store: Store, engines: Engines) -> list[Contamination]:
    """Compare ``task.source``, or else what ``stages`` have made so far, with ``evaluation.contamination``'s benchmarks
    (table 4's, when none are named).

    Raises:
        ConfigError: when the run has no training set yet.
        DataError: for a file that holds no training rows, or benchmark files that are missing.
    """
    settings = config.evaluation.contamination
    settings = replace(settings, benchmarks=settings.benchmarks or list(TABLE_4))
    if config.task.source:
        return _file(Path(config.task.source).expanduser(), config, settings, engines)
    sets = [stage for stage in stages if stage.record in DATA and stage.entry(store).done]
    if not sets:
        raise ConfigError(
            f"{config.name} has no training set in {config.paths.store} yet: run it first, with the same settings, "
            "or name a file with task.source=…"
        )
    stage = measuring(config, settings, sets)
    run_stage(stage, store, engines)
    return list(stage.entry(store).records(Contamination))


def _file(path: Path, config: RunConfig, settings: ContaminationConfig, engines: Engines) -> list[Contamination]:
    questions = contamination_sets.load(settings.benchmarks, config.evaluation.data_dir)
    role = judging_role(config.evaluation)
    judge = judge_of(engines, role, settings.max_tokens) if settings.candidates else None
    unread: list[int] = []
    rows = track(_samples(path, unread), path.name, unit="rec")
    found = list(measure(path.name, rows, questions, settings, judge))
    if not found or not found[0].train:
        raise DataError(
            f"{path} holds no training rows: give messages, conversations, prompt and completion, prompt, chosen and "
            "rejected, or instruction, input and output"
        )
    if unread:
        note = f"{path}: {len(unread):,} rows without text, or malformed, were passed over (the first: {unread[0] + 1})"
        print(note, file=sys.stderr)
    return found


def _samples(path: Path, unread: list[int]) -> Iterator[Sample]:
    rows: Iterator[Any] = read_rows(path, "task.source")
    for number, row in enumerate(rows):
        sample = None if isinstance(row, Reject) else row_sample(row)
        if sample is None:
            unread.append(number)
        else:
            yield replace(sample, id=str(number + 1))


def as_json(rows: Sequence[Contamination]) -> str:
    """The rows as a JSON list, cases included."""
    return msgspec.json.format(msgspec.json.encode(rows), indent=1).decode()


def render(rows: Sequence[Contamination]) -> str:
    """A table as the paper's fourth, and below it what the plainest cases look like."""
    words = rows[0].words if rows else 0
    head = ("data", "benchmark", "train", "test", f"{words}-gram", "contaminated", "rows", "rephrased")
    lines = aligned([head, *map(_cells, rows)], left=2)
    share = f"{rows[0].share:.0%}" if rows else ""
    notes = [
        "",
        f"{words}-gram: test prompts that share any {words} words in a row with the data (short ones: all their words)",
        f"contaminated: those of which one row holds at least {share} of the n-grams; rows: training rows that do",
    ]
    judges = sorted({row.judge for row in rows if row.judge})
    notes += [f"rephrased: test prompts that {name} finds said in other words, of the pairs shown" for name in judges]
    return "\n".join([*lines, *notes, *_examples(rows)])


def _cells(row: Contamination) -> tuple[str, ...]:
    if row.rephrased is None:
        rephrased = "not asked"
    else:
        rephrased = f"{row.rephrased} of {row.asked}" + (f" ({row.unparsable} unread)" if row.unparsable else "")
    return (
        row.data,
        row.benchmark,
        f"{row.train:,}",
        f"{row.test:,}",
        _share(row.overlapping, row.test),
        _share(row.contaminated, row.test),
        f"{row.rows:,}",
        rephrased,
    )


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.1f}%)" if whole else "0"


def _examples(rows: Sequence[Contamination]) -> Iterator[str]:
    for row in rows:
        for case in row.examples[:3]:
            how = "rephrased" if case.rephrased else f"{case.share:.0%}"
            yield f"\n{row.benchmark} {case.item} in row {case.row} of {row.data} ({how}):"
            yield f"  test   {_line(case.prompt)}"
            yield f"  train  {_line(case.text)}"


def _line(text: str, limit: int = 150) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
