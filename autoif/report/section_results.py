"""Before and after: a forest plot of every measure and the table behind it."""

from __future__ import annotations

from autoif.report.collect import Report
from autoif.report.forest import Row, forest, size
from autoif.report.page import section, table, tag
from autoif.report.summary import Difference, Measure, benchmark_name, left_out, measures, metric_name
from autoif.report.text import count, escape


def results(report: Report) -> str:
    """The results part of the page; empty before anything was measured."""
    found = measures(report.results, report.comparisons)
    notes = [f'<p class="small">{escape(note)}</p>' for note in left_out(report)]
    if not found:
        return section("results", "Results", "", *notes)
    names = list(dict.fromkeys(name for measure in found for name in measure.by_model))
    rows = [
        Row(benchmark_name(measure.benchmark), f"{metric_name(measure.metric)}, {size(measure)}", measure)
        for measure in found
    ]
    return section(
        "results",
        "Results",
        "Every model is asked the same prompts in the same way. Bars are 95% intervals.",
        forest(rows, names),
        _results_table(found, names),
        *notes,
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
                _changes(measure) or "–",
            ]
        )
    head = ["Benchmark", "n", *names, f"Difference to {names[0]} (95% interval)"]
    return table(head, rows, range(1, len(head)))


def _value(measure: Measure, name: str) -> str:
    if name not in measure.by_model:
        return "–"
    result = measure.by_model[name]
    interval = ""
    if result.low is not None and result.high is not None:
        interval = f' <span class="ci">[{measure.show(result.low)}, {measure.show(result.high)}]</span>'
    return measure.show(result.value) + interval


def _changes(measure: Measure) -> str:
    several = len(measure.differences) > 1
    return "<br>".join(
        (f'<span class="ci">{escape(name)}</span> ' if several else "") + _change(measure, change)
        for name, change in measure.differences.items()
    )


def _change(measure: Measure, change: Difference) -> str:
    interval = f"[{measure.shift(change.low)}, {measure.shift(change.high)}], {change.how}"
    return f'<b class="{change.verdict}">{measure.shift(change.value)}</b> <span class="ci">{escape(interval)}</span>'
