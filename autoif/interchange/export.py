"""Export what a run has made: its SFT samples and preference pairs, and with them how they came about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from autoif.config import RunConfig
from autoif.errors import ConfigError
from autoif.interchange.training_sets import export
from autoif.records import Answers, Instruction, PreferencePair, Prompt, Query, SftExample, Verifier
from autoif.stage import Rows, Stage
from autoif.store import Manifest, Store, StoreError

DATA = (Instruction, Verifier, Query, Prompt, Answers, SftExample, PreferencePair)
"""Records of data, as against curves and measurements."""


def export_run(config: RunConfig, stages: Sequence[Stage], store: Store) -> dict[Path, int]:
    """Write the finished training sets of ``stages`` in ``config.task.format``; returns files and their rows.

    Raises:
        ConfigError: when the run has not come to a training set yet.
        StoreError: when the folder cannot be written.
    """
    done = [stage for stage in stages if stage.entry(store).done]
    examples = [Rows(s.entry(store), SftExample) for s in done if s.record is SftExample]
    pairs = [Rows(s.entry(store), PreferencePair) for s in done if s.record is PreferencePair]
    if not examples and not pairs:
        raise ConfigError(
            f"{config.name} has no training set in {config.paths.store} yet: run it first, with the same settings"
        )
    task = config.task
    folder = Path(task.folder) if task.folder else Path(config.paths.runs, config.name, "export", task.format.value)
    funnel = [(stage.title, manifest.kept, manifest.rejected) for stage, manifest in _manifests(done, store)]
    try:
        return export(
            task.format,
            folder,
            chain.from_iterable(examples) if examples else None,
            chain.from_iterable(pairs) if pairs else None,
            name=config.name,
            funnel=funnel,
        )
    except OSError as error:
        raise StoreError(f"cannot write to {folder} ({error.strerror}): free space there or set task.folder") from None


def _manifests(stages: Sequence[Stage], store: Store) -> Iterator[tuple[Stage, Manifest]]:
    """What led to the sets: every finished stage that dropped or kept data, models and measurements left out."""
    for stage in stages:
        manifest = stage.entry(store).manifest()
        if manifest is not None and stage.record in DATA:
            yield stage, manifest
