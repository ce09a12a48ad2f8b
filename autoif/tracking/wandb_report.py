"""A W&B report that compares the runs of an experiment: defined beside the runs, made in W&B on request.

``runs/<experiment>/wandb_report.json`` says which runs and which panels: results and their differences to the base as
bars over the runs, the curves of every training stage, the funnel. To make the report in W&B (needs a key, and
``wandb-workspaces``)::

    python -m autoif.tracking.wandb_report runs/<experiment>/wandb_report.json
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from autoif.errors import AutoifError, ConfigError, DataError, MissingExtraError
from autoif.records import Comparison, Result, TrainStep
from autoif.stage import Stage
from autoif.store import Entry, Manifest
from autoif.tracking.base import curve, slug

FILE = "wandb_report.json"
KEY = "WANDB_API_KEY"
SHOWN = ("loss", "reward", "margin", "accuracy", "grad_norm", "learning_rate")
"""Metrics of a curve that have a panel, in this order, where a training has them."""


class Panel(msgspec.Struct, frozen=True):
    """``kind``: bars (a summary value over the runs) or lines (metrics over ``x``). ``keys``: what is drawn."""

    title: str
    kind: str
    keys: tuple[str, ...]
    x: str = ""


class Section(msgspec.Struct, frozen=True):
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What the report shows: all runs of W&B group ``group`` in ``entity``/``project``."""

    title: str
    group: str
    project: str
    entity: str | None
    sections: tuple[Section, ...]


def definition(
    group: str, project: str, entity: str | None, stages: Iterable[tuple[Stage, Manifest, Entry]]
) -> Definition:
    """The panels for what ``stages`` of one point have; other points of the experiment have the same keys."""
    known = list(stages)
    sections = (
        Section("Results", tuple(_bars(known, Result, "results"))),
        Section("Differences to the base", tuple(_bars(known, Comparison, "difference"))),
        Section("Training", tuple(_curves(known))),
        Section("Records kept", (Panel("kept by stage", "bars", tuple(_kept(known))),)),
    )
    return Definition(
        title=f"{group}: its runs compared",
        group=group,
        project=project,
        entity=entity,
        sections=tuple(section for section in sections if section.panels),
    )


def encode(found: Definition) -> str:
    """The definition as it is saved."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n"


def _bars(stages: list[tuple[Stage, Manifest, Entry]], kind: type[Any], prefix: str) -> Iterator[Panel]:
    """A panel for each benchmark and metric, a bar for each model (of each run)."""
    panels: dict[tuple[str, str], list[str]] = {}
    for stage, _, entry in stages:
        if stage.record is kind:
            rows: Iterator[Any] = entry.records(kind)
            for row in rows:
                model = row.candidate if kind is Comparison else row.model or "model"
                keys = panels.setdefault((row.benchmark, row.metric), [])
                keys.append(f"{prefix}/{row.benchmark}/{row.metric}/{model}")
    for (benchmark, metric), keys in panels.items():
        yield Panel(f"{benchmark}: {metric.replace('_', ' ')}", "bars", tuple(keys))


def _curves(stages: list[tuple[Stage, Manifest, Entry]]) -> Iterator[Panel]:
    for stage, _, entry in stages:
        if stage.record is TrainStep:
            key = slug(stage.title)
            names = next(curve(entry), {})
            for name in SHOWN:
                if name in names:
                    yield Panel(f"{stage.title}: {name.replace('_', ' ')}", "lines", (f"{key}/{name}",), f"{key}/step")


def _kept(stages: list[tuple[Stage, Manifest, Entry]]) -> Iterator[str]:
    return (f"funnel/{slug(stage.title)}/kept" for stage, _, _ in stages)


def report(found: Definition) -> Any:
    """The definition as a ``wandb_workspaces`` report, not saved yet. Raises :class:`MissingExtraError`."""
    try:
        import wandb_workspaces.reports.v2 as wr
    except ImportError:
        raise MissingExtraError("wandb-workspaces", "wandb") from None
    blocks: list[Any] = [wr.P("Points of the experiment stand beside each other; bars of one colour are one run.")]
    for section in found.sections:
        panels = [
            wr.BarPlot(title=panel.title, metrics=list(panel.keys))
            if panel.kind == "bars"
            else wr.LinePlot(title=panel.title, x=panel.x, y=list(panel.keys))
            for panel in section.panels
        ]
        runs = wr.Runset(
            entity=found.entity or "",
            project=found.project,
            name=found.group,
            filters=f"Metric('group') == '{found.group}'",
        )
        blocks += [wr.H2(section.title), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(
        project=found.project,
        entity=found.entity or "",
        title=found.title,
        description="Written by autoif.",
        blocks=blocks,
    )


def read(path: Path) -> Definition:
    """A saved definition. Raises :class:`DataError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Definition)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path} is no report definition: give runs/<experiment>/{FILE} ({error})") from None


def publish(path: Path) -> str:
    """Make the report in W&B; returns its address. Raises :class:`ConfigError` without a key."""
    found = read(path)
    if not os.environ.get(KEY):
        raise ConfigError(f"the environment variable {KEY} holds no key: export it to make a report in W&B")
    made = report(found)
    made.save()
    return str(made.url)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m autoif.tracking.wandb_report", description="Make a report in W&B.")
    parser.add_argument("definition", type=Path, help=f"runs/<experiment>/{FILE}")
    try:
        print(publish(parser.parse_args().definition))
    except AutoifError as error:
        print(f"autoif: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
