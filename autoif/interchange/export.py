"""Export what a run has made: its SFT samples and preference pairs, and with them how they came about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from autoif.config import ExportFormat, QuerySource, RunConfig, Start
from autoif.errors import ConfigError
from autoif.generation.factory import supervisor_identity
from autoif.interchange import intermediates
from autoif.interchange.card import About
from autoif.interchange.training_sets import Functions, TrainingSet, export
from autoif.records import (
    Answers,
    Contamination,
    Instruction,
    PreferencePair,
    Prompt,
    Query,
    SftExample,
    Verifier,
    digest,
)
from autoif.stage import Rows, Stage
from autoif.store import Manifest, Store, StoreError

DATA = (Instruction, Verifier, Query, Prompt, Answers, SftExample, PreferencePair)
"""Records of data, as against curves and measurements."""


def export_run(config: RunConfig, stages: Sequence[Stage], store: Store) -> dict[Path, int]:
    """Write the finished training sets of ``stages`` in ``config.task.format``; returns files and their rows.

    In the authors' format, the files of the steps before them too, as far as the run has come.

    Raises:
        ConfigError: when the run has not come to a training set yet.
        StoreError: when the folder cannot be written.
    """
    done = [stage for stage in stages if stage.entry(store).done]
    before = {source for stage in done if stage.name in ("decontaminate", "mix_examples") for source in stage.inputs}
    sets = [
        TrainingSet(set_name(stage), stage.record, Rows(stage.entry(store), stage.record))
        for stage in done
        if stage.record in (SftExample, PreferencePair) and stage not in before
    ]
    task = config.task
    steps = task.format is ExportFormat.upstream and any(stage.record in DATA for stage in done)
    if not sets and not steps:
        raise ConfigError(
            f"{config.name} has no training set in {config.paths.store} yet: run it first, with the same settings"
        )
    folder = Path(task.folder) if task.folder else Path(config.paths.runs, config.name, "export", task.format.value)
    try:
        between = intermediates.write(folder, done, store) if steps else {}
        return between | export(task.format, folder, sets, about(config, done, store), functions(done, store))
    except OSError as error:
        raise StoreError(f"cannot write to {folder} ({error.strerror}): free space there or set task.folder") from None


def set_name(stage: Stage) -> str:
    """``sft``, ``preference`` for offline pairs, ``online_1``, … for an iteration's own."""
    if stage.name == "decontaminate":
        return set_name(stage.inputs[0])
    if stage.name != "online_pairs":
        return "sft" if stage.record is SftExample else "preference"
    return re.sub(r"\W+", "_", stage.title).replace("online_pairs", "online")


def functions(done: Sequence[Stage], store: Store) -> Functions:
    """The functions of a pair, by its prompt: of the prompts and of the verified instructions, read on first use."""
    sources = [stage for stage in done if stage.record is Prompt]
    sources += [stage for stage in done if stage.record is Verifier][-1:]
    codes: dict[str, tuple[str, ...]] = {}
    known: dict[str, str] = {}

    def of(pair: PreferencePair) -> Sequence[str]:
        if not codes:
            for stage in sources:
                rows: Iterator[Any] = stage.entry(store).records(stage.record)
                for row in rows:
                    asked, owner = (
                        (row.text, row.verifier_id) if isinstance(row, Prompt) else (row.instruction.text, row.id)
                    )
                    known[digest(asked)] = owner
                    codes.setdefault(owner, tuple(function.code for function in row.functions))
        return codes.get(known.get(digest(pair.prompt[-1].content), ""), ())

    return of


def about(config: RunConfig, done: Sequence[Stage], store: Store) -> About:
    """What the card says: where the rows are from, what was dropped on the way, what was found in them."""
    funnel = [(stage.title, manifest.kept, manifest.rejected) for stage, manifest in _manifests(done, store)]
    found = [row for stage in done if stage.record is Contamination for row in Rows(stage.entry(store), Contamination)]
    settings = {
        "pipeline": config.pipeline.name,
        "setting": config.setting.kind.value.replace("_", " "),
        "seed": str(config.data_seed),
        **({"seed of the online pairs": str(config.seed)} if config.seed != config.data_seed else {}),
        "trained model (online pairs are its answers)": config.model.path,
    }
    return About(name=config.name, sources=_sources(config), settings=settings, funnel=funnel, contamination=found)


def _sources(config: RunConfig) -> list[tuple[str, str, str]]:
    queries, start = config.pipeline.queries, config.pipeline.start
    supervisor = supervisor_identity(config.supervisor).partition("#")[0]
    made = [("instructions, functions, answers, scores", supervisor, "the model's own licence and terms of use")]
    if start.kind is not Start.seeds:
        made.insert(0, (f"what {start.kind.value} holds", Path(start.path or "").name, "its author's"))
    if queries.source is QuerySource.shipped:
        return [*made, ("queries", "shipped with autoif", "Apache-2.0")]
    return [*made, ("queries", Path(queries.path or "").name, "the dump's; ShareGPT's users gave none")]


def _manifests(stages: Sequence[Stage], store: Store) -> Iterator[tuple[Stage, Manifest]]:
    """What led to the sets: every finished stage that dropped or kept data; models and measuring left out."""
    for stage in stages:
        manifest = stage.entry(store).manifest()
        if manifest is not None and stage.record in DATA and stage.name != "heldout_prompts":
            yield stage, manifest
