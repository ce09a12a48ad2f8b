"""The run's report as Markdown: the same numbers as the page, for terminals, pull requests and papers' drafts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autoif.records import PreferencePair, Verifier
from autoif.report import section_supervision
from autoif.report.collect import Pairing, Report
from autoif.report.funnel import funnel
from autoif.report.provenance import CALLS, calls, config_yaml, facts, isolation, versions
from autoif.report.section_contamination import cells, verdict
from autoif.report.section_contamination import columns as contamination_columns
from autoif.report.summary import (
    Difference,
    Measure,
    benchmark_name,
    headline,
    key_figures,
    left_out,
    measures,
    metric_name,
    subtitle,
    title,
)
from autoif.report.text import count, duration, fence, markdown, number


def render(report: Report) -> str:
    """The whole document."""
    parts = [
        f"# {markdown(report.config.name)}: {markdown(title(report.config))}",
        markdown(subtitle(report), 400),
        f"**{markdown(headline(report)[0], 600)}**",
        *_missing(report),
        "\n".join(f"- {figure} {label}" for figure, label in key_figures(report)),
        *_results(report),
        *_contamination(report),
        *_funnel(report),
        *_supervision(report),
        *_training(report),
        *_answers(report),
        *_samples(report),
        *_provenance(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells must be Markdown already."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body]) if body else ""


def _missing(report: Report) -> list[str]:
    waiting = [markdown(stage.title) for stage in report.missing if not stage.problem]
    said = [f"Not done yet: {', '.join(waiting)}."] if waiting else []
    damaged = [stage for stage in report.missing if stage.problem]
    return said + [f"{markdown(stage.title)} cannot be read: {markdown(stage.problem, 400)}" for stage in damaged]


def _results(report: Report) -> list[str]:
    found = measures(report.results, report.comparisons)
    names = list(dict.fromkeys(name for measure in found for name in measure.by_model))
    rows = [
        [
            markdown(f"{benchmark_name(measure.benchmark)}, {metric_name(measure.metric)}") + _marks(measure),
            count(max(result.n for result in measure.by_model.values())),
            *(_value(measure, name) for name in names),
            _changes(measure) or "–",
        ]
        for measure in found
    ]
    if not rows:
        return []
    head = ["benchmark", "n", *map(markdown, names), f"difference to {markdown(names[0])} (95% interval)"]
    return ["## Results", _table(head, rows), *map(markdown, left_out(report))]


def _contamination(report: Report) -> list[str]:
    found = report.contaminations
    if not found:
        return []
    head = ["training set", "benchmark", "rows", "prompts", *map(markdown, contamination_columns(found))]
    rows = [
        [markdown(row.data), markdown(benchmark_name(row.benchmark)), *map(markdown, cells(row, len(head)))]
        for row in found
    ]
    return ["## Contamination", _table(head, rows), markdown(verdict(found), 400)]


def _marks(measure: Measure) -> str:
    judge = f" (judge {markdown(measure.judge)})" if measure.judge else ""
    return (" (sample)" if measure.sample else "") + judge


def _value(measure: Measure, name: str) -> str:
    result = measure.by_model.get(name)
    if result is None:
        return "–"
    if result.low is None or result.high is None:
        return measure.show(result.value)
    return f"{measure.show(result.value)} ({measure.show(result.low)} to {measure.show(result.high)})"


def _changes(measure: Measure) -> str:
    several = len(measure.differences) > 1
    return "<br>".join(
        (f"{markdown(name)}: " if several else "") + _change(measure, change)
        for name, change in measure.differences.items()
    )


def _change(measure: Measure, change: Difference) -> str:
    interval = f"{measure.shift(change.low)} to {measure.shift(change.high)}"
    return f"{measure.shift(change.value)} ({interval}; {markdown(change.how)})"


def _funnel(report: Report) -> list[str]:
    parts = []
    for name, steps in funnel(report):
        rows = [
            [
                markdown(step.title),
                count(step.entered),
                count(step.kept),
                step.share,
                markdown(", ".join(step.inside)),
                ", ".join(f"{markdown(g.reason)} {count(g.count)}" for g in (*step.dropped, *step.parts)),
            ]
            for step in steps
        ]
        parts += [f"### {name}", _table(["stage", "in", "kept", "share", "inside", "dropped"], rows)]
    return ["## Funnel", *parts] if parts else []


def _supervision(report: Report) -> list[str]:
    cells = [[markdown(cell) for cell in row] for row in section_supervision.rows(report)]
    return (
        ["## Supervision", _table(section_supervision.HEAD, cells), *section_supervision.notes(report)] if cells else []
    )


def _training(report: Report) -> list[str]:
    rows = []
    for training in report.trainings:
        losses = [row.loss for row in training.rows if row.loss is not None]
        ends = f"{number(losses[0])} → {number(losses[-1])}" if losses else "–"
        last = training.rows[-1].metrics if training.rows else {}
        metrics = ", ".join(f"{markdown(name)} {number(value)}" for name, value in last.items() if value is not None)
        rows.append([markdown(training.title), count(training.steps), count(training.tokens), ends, metrics])
    head = ["stage", "steps", "tokens", "loss, first → last", "last metrics"]
    return ["## Training", _table(head, rows)] if rows else []


def _answers(report: Report) -> list[str]:
    parts = []
    for pairing in report.pairings:
        parts.append(_moves(pairing))
        for base, trained in pairing.shown[:3]:
            parts += [f"Prompt: {markdown(base.prompt, 300)}"]
            for name, answer in zip(pairing.models, (base, trained), strict=True):
                parts += [f"{markdown(name)}:", fence(answer.response, limit=600)]
    return ["## Answers side by side", *parts] if parts else []


def _moves(pairing: Pairing) -> str:
    both, gained, lost, neither = (
        pairing.counts.get(move, 0) for move in ((True, True), (False, True), (True, False), (False, False))
    )
    return (
        f"### {markdown(benchmark_name(pairing.benchmark))}, {markdown(metric_name(pairing.metric))}\n\n"
        f"both meet it {both}, gained {gained}, lost {lost}, neither {neither}"
    )


def _samples(report: Report) -> list[str]:
    """One verified function and one preference pair; the page has the rest."""
    parts = []
    rows = [row for stage in reversed(report.stages) for row in stage.samples.kept]
    if verifier := next((row for row in rows if isinstance(row, Verifier) and row.functions), None):
        parts += [
            f"Instruction: {markdown(verifier.instruction.text, 300)}",
            fence(verifier.functions[0].code, "python"),
        ]
    if pair := next((row for row in rows if isinstance(row, PreferencePair)), None):
        parts += [f"Pair on: {markdown(pair.prompt[-1].content, 300) if pair.prompt else ''}"]
        parts += ["Chosen:", fence(pair.chosen, limit=600), "Rejected:", fence(pair.rejected, limit=600)]
    return ["## Samples", *parts] if parts else []


def _provenance(report: Report) -> list[str]:
    rows = []
    for stage in report.stages:
        done = stage.manifest
        state = duration(done.seconds) if done else "damaged" if stage.problem else "not done"
        noted = ", ".join(f"{markdown(name)} {markdown(value)}" for name, value in facts(stage))
        rows.append([markdown(stage.title), state, f"`{stage.fingerprint}`", noted])
    if not rows:
        return []
    found, whose = versions(report)
    levels = [
        f"Isolation of executed code: {markdown(level)} ({', '.join(map(markdown, names))})"
        for level, names in isolation(report).items()
    ]
    packages = f"Versions ({whose}): " + ", ".join(
        f"{markdown(name)} {markdown(value)}" for name, value in found.items()
    )
    counts = [[markdown(title), *(f"{values.get(name, 0):,.10g}" for name in CALLS)] for title, values in calls(report)]
    return [
        "## Provenance",
        _table(["stage", "wall time", "fingerprint", "noted"], rows),
        _table(["model calls", *CALLS.values()], counts),
        *levels,
        packages,
        "Configuration:",
        fence(config_yaml(report.config), "yaml", limit=20_000),
    ]
