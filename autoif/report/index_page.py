"""``runs/index.html``: experiments with their tables and plots, runs with the parts of their reports, and the costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from autoif.report import paper
from autoif.report.forest import Row, forest, size
from autoif.report.page import details, document, figures, section, table, tag
from autoif.report.profiles import side_by_side
from autoif.report.section_table import plots, table_html
from autoif.report.site import RunSummary, StageSummary
from autoif.report.summary import Measure, benchmark_name, metric_name, primary
from autoif.report.table_data import Table
from autoif.report.table_text import scaled
from autoif.report.text import count, duration, escape, plural

PARTS = {"funnel": "funnel", "training": "curves", "answers": "answers", "samples": "samples"}
"""Parts of a run's report that the index leads to, and what they are called there."""
COSTS = ("asked", "cached", "replayed", "used_in", "used_out", "cost")
COST_HEADS = ("Model calls asked", "cached", "replayed", "tokens in", "tokens out", "money")


def render(runs: Sequence[RunSummary], tables: Mapping[str, Table]) -> str:
    """The page over ``runs``, which stand in the order of their names; ``tables``: those of experiments, by group."""
    groups: dict[str, list[RunSummary]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    order = {name: place for place, name in enumerate(paper.names())}
    ordered = sorted(
        groups.items(), key=lambda item: (order[tables[item[0]].paper] if item[0] in tables else len(order), item[0])
    )
    keyed = [(f"group-{i + 1}", name, members) for i, (name, members) in enumerate(ordered)]
    body = "".join(
        _experiment(key, name, members, tables[name]) if name in tables else _group(key, name, members)
        for key, name, members in keyed
    )
    work = _distinct(runs)
    total = [
        (count(len(tables)), "experiment" if len(tables) == 1 else "experiments"),
        (count(len(runs)), "run" if len(runs) == 1 else "runs"),
        (count(len(work)), "distinct stages"),
        (duration(sum(stage.seconds or 0.0 for stage in work)), "wall time, shared stages once"),
    ]
    header = f'<p class="over">AutoIF</p><h1>Runs and tables</h1>{figures(total[not tables :])}'
    links = [(f"#{key}", name) for key, name, _ in keyed] + [("#costs", "costs"), ("results.csv", "results.csv")]
    footer = "Renewed with every report. The numbers: results.csv."
    return document("AutoIF runs", header, body + _costs(keyed, runs), links, footer)


def _distinct(runs: Sequence[RunSummary]) -> list[StageSummary]:
    """Finished stages, each once however many runs share it."""
    return list(
        {stage.fingerprint: stage for run in runs for stage in run.stages if stage.seconds is not None}.values()
    )


def _experiment(key: str, name: str, runs: Sequence[RunSummary], joined: Table) -> str:
    place = f"{quote(name)}/"
    planned = [row for row in joined.rows if row.state not in ("not_run", "same")]
    done = sum(row.state == "done" for row in planned)
    said = f"{done} of {len(planned)} rows measured."
    link = f'<p><a href="{escape(place)}index.html">The experiment\'s page</a>: {said}</p>'
    return section(
        key,
        joined.title,
        " ".join(said for said in (f"{name}: {joined.about}" if joined.about else name, scaled(joined)) if said),
        link,
        plots(joined),
        details("Table", table_html(joined, place), open_=len(joined.rows) <= PLAIN),
        details(plural(len(runs), "run"), _table(runs)),
    )


PLAIN = 8
"""Tables of so many rows are shown unfolded."""


def _group(key: str, name: str, runs: Sequence[RunSummary]) -> str:
    about = runs[0].sentence if len(runs) == 1 else f"{count(len(runs))} points of one sweep."
    compared = side_by_side(runs)
    return section(
        key, name, about, *_forests(runs), _table(runs), f"<h3>Funnels side by side</h3>{compared}" if compared else ""
    )


def _forests(runs: Sequence[RunSummary]) -> Iterator[str]:
    """One plot a benchmark's first metric, a row for each run that measured it."""
    found: dict[str, list[tuple[RunSummary, Measure]]] = {}
    for run in runs:
        seen = set()
        for measure in run.measures():
            if measure.benchmark not in seen:
                seen.add(measure.benchmark)
                found.setdefault(measure.benchmark, []).append((run, measure))
    for benchmark, pairs in found.items():
        names = list(dict.fromkeys(name for _, measure in pairs for name in measure.by_model))
        rows = [Row(run.label, size(measure), measure, run.href) for run, measure in pairs]
        if plot := forest(rows, names):
            metric = metric_name(pairs[0][1].metric)
            yield f"<h3>{escape(benchmark_name(benchmark))}: {escape(metric)}</h3>{plot}"


def _table(runs: Sequence[RunSummary]) -> str:
    labels = list(dict.fromkeys(label for run in runs for _, label in run.figures))
    head = ["Run", "Trained", *labels, "difference", "", ""]
    rows = []
    for run in runs:
        known = {label: figure for figure, label in run.figures}
        best = primary(run.measures())
        done = sum(stage.seconds is not None for stage in run.stages)
        state = tag("done", "ok") if done == len(run.stages) else tag(f"{done} of {len(run.stages)} stages", "no")
        rows.append(
            [
                f'<a class="runname" href="{escape(run.href)}">{escape(run.label)}</a>',
                escape(run.title),
                *(escape(known.get(label, "–")) for label in labels),
                _shift(best),
                " ".join(
                    f'<a href="{escape(run.href)}#{part}">{label}</a>'
                    for part, label in PARTS.items()
                    if part in run.parts
                ),
                state,
            ]
        )
    return table(head, rows, range(2, len(labels) + 3))


def _shift(measure: Measure | None) -> str:
    if measure is None or measure.difference is None:
        return "–"
    return f'<b class="{measure.difference.verdict}">{measure.shift(measure.difference.value)}</b>'


def _costs(keyed: Sequence[tuple[str, str, Sequence[RunSummary]]], runs: Sequence[RunSummary]) -> str:
    """What each group took, its shared stages counted once; the last line counts what groups share once too."""
    lines = [(name, _distinct(members)) for _, name, members in keyed]
    if len(lines) > 1:
        lines.append(("all together", _distinct(runs)))
    used = [c for c in COSTS if any(stage.calls.get(c) for _, stages in lines for stage in stages)]
    rows = [
        [
            escape(name),
            count(len(stages)),
            duration(sum(stage.seconds or 0.0 for stage in stages)),
            *(f"{sum(stage.calls.get(c, 0.0) for stage in stages):,.10g}" for c in used),
        ]
        for name, stages in lines
        if stages
    ]
    heads = [COST_HEADS[COSTS.index(c)] for c in used]
    return section(
        "costs",
        "Costs",
        "Stages that runs share are counted once. Tokens are those of every answer used, asked anew or not.",
        table(["", "Distinct stages", "Wall time", *heads], rows, range(1, len(used) + 3)),
    )
