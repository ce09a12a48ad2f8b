"""The synthesis funnel: what entered each stage, what it kept, and why the rest was dropped."""

from __future__ import annotations

from autoif.report.collect import Report
from autoif.report.funnel import FunnelStep, funnel
from autoif.report.page import details, section, table, tag
from autoif.report.select import RejectedGroup
from autoif.report.text import count, escape


def funnel_section(report: Report) -> str:
    panels = funnel(report)
    parts = []
    for name, steps in panels:
        widest = max(max(step.entered, step.kept) for step in steps) or 1
        rows = "".join(_step(step, widest) for step in steps)
        parts.append(f'<h3>{escape(name)}</h3><div class="funnel">{rows}</div>')
    reasons = [
        [escape(step.title), escape(group.reason.replace("_", " ")), escape(group.unit), count(group.count)]
        for _, steps in panels
        for step in steps
        for group in (*step.dropped, *step.parts)
    ]
    drops = table(["Stage", "Reason", "Drops a", "Count"], reasons, [3])
    return section(
        "funnel",
        "Funnel",
        "Each shape narrows from what entered a stage to what it kept. Whatever was dropped is stored with its reason.",
        *parts,
        details("All reasons", drops) if reasons else "",
    )


def _step(step: FunnelStep, widest: int) -> str:
    entered, kept = 100 * step.entered / widest, 100 * step.kept / widest

    def shape(kind: str, above: float, below: float) -> str:
        corners = f"{50 - above / 2:.2f},0 {50 + above / 2:.2f},0 {50 + below / 2:.2f},40 {50 - below / 2:.2f},40"
        return f'<polygon class="{kind}" points="{corners}"/>'

    hover = escape(f"{step.title}: {count(step.entered)} in, {count(step.kept)} kept")
    inner = f"<small>{escape(', '.join(step.inside))}</small>" if step.inside else ""
    chips = "".join(_reason(group) for group in (*step.dropped, *step.parts)[:5])
    drawing = shape("in", entered, max(entered, kept)) + shape("out", entered, kept)
    svg = '<svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img"'
    return (
        f'<div class="step"><div class="what"><b>{escape(step.title)}</b><small>{escape(step.about)}</small>{inner}'
        f'<div class="chips">{chips}</div></div>'
        f'<div class="shape">{svg} aria-label="{hover}"><title>{hover}</title>{drawing}</svg></div>'
        f'<div class="outnum"><b>{count(step.kept)}</b><small>of {count(step.entered)}</small>'
        f"<small>{step.share}</small></div></div>"
    )


def _reason(group: RejectedGroup) -> str:
    what = group.reason.replace("_", " ")
    return tag(f"{what} {count(group.count)}", "no" if group.unit == "record" else "")
