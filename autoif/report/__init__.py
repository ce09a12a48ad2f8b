"""Reports: what a run did and found, as Markdown and as one self-contained page, read from the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoif.config import RunConfig
    from autoif.stage import Stage
    from autoif.store import Store


def write(config: RunConfig, stages: Sequence[Stage], store: Store) -> Path:
    """Write ``runs/<name>/report.md`` and ``report.html``, renew ``runs/index.html``; returns the report's page.

    ``stages`` may be unfinished or damaged: the report says what is missing. The same store gives the same bytes.

    Raises:
        ReportError: when the run's folder cannot be written.
    """
    from autoif.report import html, markdown
    from autoif.report.collect import collect
    from autoif.report.files import run_folder, save
    from autoif.report.profiles import beside
    from autoif.report.site import summarise, write_site

    folder = run_folder(config)
    report = collect(config, stages, store)
    save(folder / "report.md", markdown.render(report))
    runs = Path(config.paths.runs).expanduser()
    write_site(runs, summarise(report))
    return save(folder / "report.html", html.render(report, beside(runs, config.name)))


def write_experiment(configs: Sequence[RunConfig], typed: Sequence[str], same: Mapping[str, str]) -> Path:
    """Write an experiment's table and page over all its points; see :mod:`autoif.report.experiment`."""
    from autoif.report import experiment

    return experiment.write_experiment(configs, typed, same)
