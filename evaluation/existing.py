"""The two stages of ``task=evaluate`` on existing files: score the answers or read the judgments, then make numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoif.config import NOT_IDENTITY, RunConfig
from autoif.errors import ConfigError, DataError
from autoif.execution import ExecutionConfig
from autoif.generation.factory import supervisor_identity
from autoif.records import EvaluationItem, Result
from autoif.stage import Context, Estimate, Rows, Stage
from autoif.store import sha256_of
from evaluation import data, registry, rescoring, summary
from evaluation.benchmark import Existing
from evaluation.stages import judging


@dataclass(kw_only=True, slots=True)
class ScoreExisting:
    """As :class:`~evaluation.benchmark.Existing`; ``files`` and ``data`` are the hashes of what is read. ``label``: the
    file's name, which stands for the model where nothing else names it."""

    benchmark: str
    model: str | None
    label: str
    judge: str
    partial: bool
    files: dict[str, str]
    data: dict[str, str]
    judged: bool = False
    agreement_sample: int = 0
    responses: str | None = field(default=None, metadata=NOT_IDENTITY)
    judgments: str | None = field(default=None, metadata=NOT_IDENTITY)
    data_dir: str | None = field(default=None, metadata=NOT_IDENTITY)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig, metadata=NOT_IDENTITY)


def stages(config: RunConfig) -> list[Stage]:
    """Scoring and results for ``evaluation.responses`` and ``evaluation.judgments``.

    Raises:
        ConfigError: unless exactly one benchmark is on.
        DataError: for files that are not there.
    """
    settings = config.evaluation
    chosen = list(registry.chosen(settings))
    if len(chosen) != 1:
        some = f"{', '.join(chosen)} are" if chosen else "no benchmark is"
        raise ConfigError(
            f"evaluation.responses and evaluation.judgments score one benchmark, and {some} on: "
            f"choose one with evaluation=NAME ({', '.join(rescoring.BENCHMARKS)})"
        )
    definition = registry.benchmark(chosen[0])
    paths = {"responses": settings.responses, "judgments": settings.judgments}
    judge = settings.judge if definition.judged and settings.judgments is None else None
    made = ScoreExisting(
        benchmark=definition.name,
        model=settings.answered_by,
        label=Path(settings.responses or settings.judgments or "").name,
        judge=settings.judged_by or "unnamed judge",
        partial=settings.partial,
        files={name: digest(Path(path).expanduser(), name) for name, path in paths.items() if path},
        data=definition.content(settings.data_dir),
        judged=judge is not None,
        agreement_sample=settings.agreement_sample if settings.second_judge else 0,
        responses=settings.responses,
        judgments=settings.judgments,
        data_dir=settings.data_dir,
        execution=config.execution,
    )
    engines: dict[str, Any] = {"execution": config.execution}
    if judge is not None:
        engines["judge"] = supervisor_identity(judge)
        if settings.second_judge is not None:
            engines["second_judge"] = supervisor_identity(settings.second_judge)
    scored = Stage(
        name="score_existing",
        record=EvaluationItem,
        function=score_existing,
        config=made,
        texts=definition.texts() if made.judged else {},
        engines=engines,
        seed=config.seed,
        estimate=lambda *_: Estimate(records=definition.size),
    )
    results = Stage(
        name="results",
        record=Result,
        function=results_of_existing,
        config=made,
        inputs=(scored,),
        seed=config.seed,
        estimate=lambda *_: Estimate(records=4),
    )
    return [scored, results]


def score_existing(context: Context) -> Iterator[EvaluationItem]:
    """Items of the files that the stage's config names; notes among the facts."""
    existing = _existing(context)
    items = rescoring.items_of(existing)
    context.facts.update(existing.facts)
    yield from items


def results_of_existing(context: Context, items: Rows[EvaluationItem]) -> Iterator[Result]:
    """The numbers that the items come to."""
    manifest = items.entry.manifest()
    existing = _existing(context)
    facts = manifest.facts if manifest else {}
    existing.facts["sample"] = bool(facts.get("sample"))
    every = list(items)
    for result in rescoring.results_of(existing, every, context.seed):
        yield summary.dated(result, [facts["judged_on"]] if "judged_on" in facts else [])
    for model in dict.fromkeys(item.model for item in every):
        yield from summary.agreements(existing.benchmark, model, [facts])
    context.facts["notes"] = existing.facts["notes"]


def digest(path: Path, setting: str) -> str:
    """SHA-256 of a file, or of all files below a folder with their names. Raises :class:`DataError`."""
    if path.is_file():
        return sha256_of(path)
    if not path.is_dir():
        raise DataError(f"evaluation.{setting}={path} does not exist")
    return data.sha256_of_all(sorted(file for file in path.rglob("*") if file.is_file()), path)


def _existing(context: Context) -> Existing:
    config: ScoreExisting = context.config
    return Existing(
        benchmark=config.benchmark,
        model=config.model,
        data_dir=config.data_dir,
        responses=_path(config.responses),
        judgments=_path(config.judgments),
        judge=config.judge,
        partial=config.partial,
        judging=judging(context, config.agreement_sample) if config.judged else None,
        execution=config.execution,
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()
