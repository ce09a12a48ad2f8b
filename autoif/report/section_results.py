"""Before and after: a forest plot of every measure and the table behind it."""

from __future__ import annotations

from autoif.report.collect import Report
from autoif.report.page import section, table, tag
from autoif.report.summary import Measure, benchmark_name, left_out, measures, metric_name
from autoif.report.text import count, escape


def results(report: Report) -> str:
    found = measures(report)
    notes = [f'<p class="small">{escape(note)}</p>' for note in left_out(report)]
    if not found:
        return section("results", "Results", "", *notes)
    names = list(dict.fromkeys(name for measure in found for name in measure.by_model))
    keys = "".join(f'<span><i class="key m{i % 4}"></i>{escape(name)}</span>' for i, name in enumerate(names))
    return section(
        "results",
        "Results",
        "Every model is asked the same prompts in the same way. Bars are 95% intervals.",
        f'<p class="legend">{keys}</p>' if any(measure.shares for measure in found) else "",
        _forest([measure for measure in found if measure.shares], names),
        _results_table(found, names),
        *notes,
    )


def _forest(found: list[Measure], names: list[str]) -> str:
    if not found:
        return ""
    highest = max(result.high or result.value for measure in found for result in measure.by_model.values())
    top = next(limit for limit in (0.25, 0.5, 0.75, 1.0) if highest <= limit or limit == 1.0)
    grid = [top * i / 5 for i in range(6)]
    lines = "".join(f'<i style="left:{100 * x / top:.2f}%"></i>' for x in grid)
    rows = [_forest_row(measure, names, top, lines) for measure in found]
    scale = "".join(f'<span style="left:{100 * x / top:.2f}%">{100 * x:.0f}%</span>' for x in grid)
    rows.append(f'<div class="row scale"><div></div><div class="track">{scale}</div><div></div></div>')
    return f'<div class="forest">{"".join(rows)}</div>'


def _forest_row(measure: Measure, names: list[str], top: float, lines: str) -> str:
    marks = []
    models = list(measure.by_model.items())
    for i, (name, result) in enumerate(models):
        tone = f"m{names.index(name) % 4}"
        height = 100 * (i + 1) / (len(models) + 1)
        low, high = result.low or result.value, min(result.high or result.value, top)
        hover = escape(f"{name}: {measure.show(result.value)}%")
        marks.append(
            f'<s class="{tone}" style="top:{height:.0f}%;margin-top:-1.5px;left:{100 * low / top:.2f}%;'
            f'width:{100 * (high - low) / top:.2f}%"></s>'
            f'<u class="{tone}" title="{hover}" style="top:{height:.0f}%;left:{100 * result.value / top:.2f}%"></u>'
        )
    last = models[-1][1]
    about = f"{metric_name(measure.metric)}, n = {count(last.n)}"
    sample = f" {tag('sample')}" if measure.sample else ""
    diff = ""
    if change := measure.difference:
        diff = (
            f'<b class="{change.verdict}">{measure.shift(change.value)}</b>'
            f"<small>{measure.shift(change.low)} to {measure.shift(change.high)}</small>"
        )
    return (
        f'<div class="row"><div class="name"><b>{escape(benchmark_name(measure.benchmark))}</b>{sample}'
        f'<small>{escape(about)}</small></div><div class="track">{lines}{"".join(marks)}</div>'
        f'<div class="diff">{diff}</div></div>'
    )


def _results_table(found: list[Measure], names: list[str]) -> str:
    rows = []
    for measure in found:
        label = escape(metric_name(measure.metric))
        extra = (f" {tag('sample')}" if measure.sample else "") + (
            f" {tag('judge ' + measure.judge)}" if measure.judge else ""
        )
        rows.append(
            [
                f"{escape(benchmark_name(measure.benchmark))}, {label}{extra}",
                count(max(result.n for result in measure.by_model.values())),
                *(_value(measure, name) for name in names),
                _change(measure),
            ]
        )
    head = ["Benchmark", "n", *names, "Difference (95% interval)"]
    return table(head, rows, range(1, len(head)))


def _value(measure: Measure, name: str) -> str:
    if name not in measure.by_model:
        return "–"
    result = measure.by_model[name]
    interval = ""
    if result.low is not None and result.high is not None:
        interval = f' <span class="ci">[{measure.show(result.low)}, {measure.show(result.high)}]</span>'
    return measure.show(result.value) + interval


def _change(measure: Measure) -> str:
    change = measure.difference
    if change is None:
        return "–"
    how = f"{change.test.replace('_', ' ')}, p = {change.p_value:.3g}" if change.p_value is not None else "unpaired"
    interval = f"[{measure.shift(change.low)}, {measure.shift(change.high)}], {how}"
    return f'<b class="{change.verdict}">{measure.shift(change.value)}</b> <span class="ci">{escape(interval)}</span>'
