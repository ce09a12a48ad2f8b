"""The report of an experiment: its table with the paper's numbers, in every form, and one page to read it on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from urllib.parse import quote

import msgspec

from autoif.config import RunConfig
from autoif.report.files import run_folder, save
from autoif.report.joined import join
from autoif.report.page import document, figures, section, table, text_block
from autoif.report.section_table import plots, table_html
from autoif.report.site import TABLE, RunSummary, read_summaries, renew
from autoif.report.table_data import Table
from autoif.report.table_text import missing, scaled, to_csv, to_latex, to_markdown
from autoif.report.text import count, duration, escape


def write_experiment(configs: Sequence[RunConfig], typed: Sequence[str], same: Mapping[str, str] | None = None) -> Path:
    """Write ``table.md``, ``.tex``, ``.csv`` and ``index.html`` below the experiment's folder; returns the page.

    ``configs``: all of its points, finished or not. ``typed``: the overrides that chose the experiment. ``same``: names
    of points that are another one's run → that one's name.

    Raises:
        ReportError: when the folder cannot be written.
        ConfigError: when the experiment names a table that the paper does not have.
    """
    first = configs[0]
    name = first.name.rpartition("/")[0]
    command = shlex.join(["python", "run.py", *(text for text in typed if not text.startswith("seed="))])
    folder = run_folder(first).parent
    joined = join(name, first.experiment.table or "", configs, command, same)
    for file, text in (
        ("table.md", to_markdown(joined)),
        ("table.tex", to_latex(joined)),
        ("table.csv", to_csv(joined)),
        (TABLE, msgspec.json.format(msgspec.json.encode(joined), indent=1).decode()),
    ):
        save(folder / file, text)
    runs = Path(first.paths.runs).expanduser()
    known = {summary.name: summary for summary in read_summaries(folder)}
    page = save(folder / "index.html", render(joined, [known[c.name] for c in configs if c.name in known]))
    renew(runs)
    return page


def render(joined: Table, runs: Sequence[RunSummary]) -> str:
    """The experiment's page; ``runs``: its points that left a report."""
    parts = {
        "plots": section("plots", "At a glance", "", plots(joined)),
        "table": section("table", "Table", _order(joined), table_html(joined), _files()),
        "missing": _missing(joined),
        "runs": _runs(joined, runs),
    }
    labels = {"plots": "At a glance", "table": "Table", "missing": "Missing", "runs": "Runs"}
    links = [(f"#{key}", labels[key]) for key, part in parts.items() if part]
    links.append((f"{'../' * len(PurePath(joined.name).parts)}index.html", "All runs"))
    about = "".join(f'<p class="about">{escape(said)}</p>' for said in (joined.about, scaled(joined)) if said)
    header = (
        f'<p class="over">AutoIF experiment <bdi>{escape(joined.name)}</bdi></p><h1>{escape(joined.title)}</h1>{about}'
        f"{figures(_figures(joined, runs))}"
    )
    footer = "Joined by the fingerprints of what was measured. The paper: Dong et al., ICLR 2025 (arXiv 2406.13542)."
    return document(f"{joined.name}: {joined.title}", header, "\n".join(parts.values()), links, footer)


def _order(joined: Table) -> str:
    return "Ours above, the paper's below." if joined.reported else ""


def _figures(joined: Table, runs: Sequence[RunSummary]) -> list[tuple[str, str]]:
    planned = [row for row in joined.rows if row.state not in ("not_run", "same")]
    done = sum(row.state == "done" for row in planned)
    work = {stage.fingerprint: stage.seconds for run in runs for stage in run.stages if stage.seconds is not None}
    every = sum(stage.seconds is not None for run in runs for stage in run.stages)
    shown = [
        (f"{done} / {len(planned)}", "rows measured"),
        (joined.models[0], "trained") if len(joined.models) == 1 else (count(len(joined.models)), "models"),
        (", ".join(map(str, joined.seeds)), "seed" if len(joined.seeds) == 1 else "seeds"),
    ]
    if work:
        shown.append((f"{count(len(work))} of {count(every)}", "distinct stages: the others are shared"))
        shown.append((duration(sum(work.values())), "wall time of them"))
    return shown


def _files() -> str:
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in ("table.md", "table.tex", "table.csv"))
    return f'<p class="small">The same as {links}.</p>'


def _missing(joined: Table) -> str:
    commands = missing(joined)
    if not commands:
        return ""
    return section(
        "missing", "Missing", "What makes each missing row:", text_block("\n".join(commands), "code", fold=0)
    )


def _runs(joined: Table, runs: Sequence[RunSummary]) -> str:
    marks = {run: mark for row in joined.rows for run, mark in zip(row.runs, row.fingerprints, strict=True)}
    rows = []
    for run in runs:
        done = [stage.seconds for stage in run.stages if stage.seconds is not None]
        place = run.name.rpartition("/")[2]
        rows.append(
            [
                f'<a class="runname" href="{quote(place)}/report.html">{escape(place)}</a>',
                escape(run.sentence),
                f"{count(len(done))} of {count(len(run.stages))}",
                duration(sum(done)),
                f"<code>{escape(marks.get(run.name, '–')[:10])}</code>",
            ]
        )
    head = ["Point", "What it found", "Stages", "Wall time", "Results"]
    about = (
        "Every point has a report of its own; wall times count shared stages each time. Results: the first digits of "
        "their fingerprint, which covers everything that made them."
    )
    return section("runs", "Runs", about, table(head, rows, [2, 3]))
