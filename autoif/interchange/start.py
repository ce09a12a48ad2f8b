"""Start a run from a file of the authors' scripts: stages that stand in for those which would have made it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoif.config import NOT_IDENTITY, PromptOrder, RunConfig, Start
from autoif.errors import DataError
from autoif.interchange.upstream import Kind, read
from autoif.records import (
    Answers,
    Message,
    PreferencePair,
    Prompt,
    Record,
    Reject,
    SftExample,
    Verifier,
    digest,
)
from autoif.stage import Context, Estimate, Stage, StageFunction
from autoif.synthesis.queries import content_id

BEFORE: dict[Start, frozenset[str]] = {
    Start.seeds: frozenset(),
    Start.eval_func_rft: frozenset(),
    Start.cross_validation: frozenset({"cross_verify"}),
    Start.back_trans: frozenset({"cross_verify", "back_translate"}),
    Start.query_rft: frozenset({"cross_verify", "back_translate", "nli_filter"}),
}
"""Starts that have instructions with functions and cases, and the filters that those have behind them."""


@dataclass(kw_only=True, slots=True)
class ImportConfig:
    """A file of the authors' scripts, how its prompts are joined for training, and whether its code is mended."""

    kind: Kind
    path: str | None = field(metadata=NOT_IDENTITY)
    order: PromptOrder
    mend: bool


def verifiers(config: RunConfig) -> Stage:
    """The stage whose Verifiers are the file's; of ``query_rft``, those that its rows repeat."""
    kind = Kind(config.pipeline.start.kind.value)
    # There a row for each query repeats its instruction's functions and cases: one suffices, none is lost.
    if kind is Kind.query_rft:
        return _stage(config, "import_verifiers", Verifier, read_repeated, Kind.cross_validation)
    return _stage(config, "import_verifiers", Verifier, read_file, kind)


def answers(config: RunConfig) -> Stage:
    """The stage whose Answers are the file's."""
    return _stage(config, "import_answers", Answers, read_file, Kind(config.pipeline.start.kind.value))


def examples(config: RunConfig) -> Stage:
    """The stage whose SFT samples are those of ``start.sft``, else of ``start.path``."""
    start = config.pipeline.start
    return _stage(config, "import_examples", SftExample, read_file, Kind.sft, start.sft or start.path)


def pairs(config: RunConfig) -> Stage:
    """The stage whose preference pairs are the file's."""
    return _stage(config, "import_pairs", PreferencePair, read_file, Kind.pairs)


def chosen(config: RunConfig, source: Stage) -> Stage:
    """The chosen answers of imported pairs as SFT samples, for there are no others."""
    return Stage(
        name="chosen_answers", record=SftExample, function=chosen_answers, inputs=(source,), seed=config.data_seed
    )


def _stage(
    config: RunConfig, name: str, record: type[Record], function: StageFunction, kind: Kind, path: str | None = None
) -> Stage:
    path = path or config.pipeline.start.path
    return Stage(
        name=name,
        record=record,
        function=function,
        config=ImportConfig(
            kind=kind,
            path=path,
            order=config.pipeline.queries.order,
            mend=config.pipeline.write_verifiers.mend,
        ),
        texts={"file": content_id(Path(path).expanduser() if path else None)},
        estimate=Estimate,
    )


def read_file(context: Context) -> Iterator[Record | Reject]:
    """Records of the file, each once."""
    return _once(_read(context.config), tell=True)


def read_repeated(context: Context) -> Iterator[Record | Reject]:
    """Records of a file that repeats them, without a word about it."""
    return _once(_read(context.config), tell=False)


def read_prompts(context: Context, rows: Sequence[Answers]) -> Iterator[Prompt]:
    """The prompts of imported answers, for own answers to be sampled on."""
    return (row.prompt for row in rows)


def chosen_answers(context: Context, rows: Iterable[PreferencePair]) -> Iterator[SftExample | Reject]:
    """Each chosen answer of imported pairs once, as an SFT sample."""
    return _once(map(_example, rows), tell=False)


def _example(pair: PreferencePair) -> SftExample:
    messages = (*pair.prompt, Message(role="assistant", content=pair.chosen))
    return SftExample(
        id=digest("sft", *(message.content for message in messages)),
        messages=messages,
        instruction="",
        functions=(),
        accuracy=pair.chosen_accuracy,
    )


def _once(items: Iterable[Record | Reject], tell: bool) -> Iterator[Any]:
    """The first record of each id; ``tell``: reject the others."""
    seen: set[str] = set()
    for item in items:
        key = getattr(item, "id", None)
        if isinstance(item, Reject) or key is None:
            yield item
        elif key not in seen:
            seen.add(key)
            yield item
        elif tell:
            yield Reject(item, "duplicate")


def _read(config: ImportConfig) -> Iterator[Record | Reject]:
    if config.path is None:
        raise DataError(f"pipeline.start.kind={config.kind.value} needs pipeline.start.path, the file to start from")
    return read(config.kind, Path(config.path).expanduser(), config.order, config.mend)
