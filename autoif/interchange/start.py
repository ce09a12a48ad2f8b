"""Start synthesis from a file of the authors' scripts: stages that stand in for those which would have made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autoif.config import NOT_IDENTITY, PromptOrder, RunConfig, Start
from autoif.errors import DataError
from autoif.interchange.upstream import Kind, read
from autoif.records import Answers, Record, Reject, Verifier
from autoif.stage import Context, Estimate, Stage, StageFunction
from autoif.synthesis.queries import content_id

BEFORE: dict[Start, frozenset[str]] = {
    Start.seeds: frozenset(),
    Start.eval_func_rft: frozenset(),
    Start.cross_validation: frozenset({"cross_verify"}),
    Start.back_trans: frozenset({"cross_verify", "back_translate"}),
    Start.query_rft: frozenset({"cross_verify", "back_translate", "nli_filter"}),
}
"""Filters that what a file holds has behind it."""


@dataclass(kw_only=True, slots=True)
class ImportConfig:
    """A file of the authors' scripts, and how its prompts are joined for training."""

    kind: Start
    path: str | None = field(metadata=NOT_IDENTITY)
    order: PromptOrder


def verifiers(config: RunConfig) -> Stage:
    """The stage whose Verifiers are the file's; of ``query_rft``, those that its rows repeat."""
    return _stage(config, "import_verifiers", Verifier, read_verifiers)


def answers(config: RunConfig) -> Stage:
    """The stage whose Answers are those of a ``query_rft`` file."""
    return _stage(config, "import_answers", Answers, read_answers)


def _stage(config: RunConfig, name: str, record: type[Record], function: StageFunction) -> Stage:
    start = config.pipeline.start
    return Stage(
        name=name,
        record=record,
        function=function,
        config=ImportConfig(kind=start.kind, path=start.path, order=config.pipeline.queries.order),
        texts={"file": content_id(Path(start.path).expanduser() if start.path else None)},
        estimate=Estimate,
    )


def read_verifiers(context: Context) -> Iterator[Record | Reject]:
    """Verifiers of the file, each instruction once."""
    config: ImportConfig = context.config
    # There a row for each query repeats its instruction's functions and cases: one suffices, none is lost.
    repeated = config.kind is Start.query_rft
    yield from _once(_read(config, Kind.cross_validation if repeated else Kind(config.kind.value)), not repeated)


def read_answers(context: Context) -> Iterator[Record | Reject]:
    """Answers of the file, each prompt once."""
    yield from _once(_read(context.config, Kind.query_rft), True)


def _once(items: Iterator[Record | Reject], tell: bool) -> Iterator[Record | Reject]:
    """The first record of each id; ``tell``: reject the others."""
    seen: set[str] = set()
    for item in items:
        if not isinstance(item, Verifier | Answers):
            yield item
        elif item.id not in seen:
            seen.add(item.id)
            yield item
        elif tell:
            yield Reject(item, "duplicate")


def _read(config: ImportConfig, kind: Kind) -> Iterator[Record | Reject]:
    if config.path is None:
        raise DataError(f"pipeline.start.kind={config.kind.value} needs pipeline.start.path, the file to start from")
    return read(kind, Path(config.path).expanduser(), config.order)
