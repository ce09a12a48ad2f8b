"""The run's page: one self-contained HTML file, top to bottom as a reader asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from autoif.report.collect import Report
from autoif.report.page import document, figures, section
from autoif.report.profiles import side_by_side
from autoif.report.provenance import provenance
from autoif.report.section_contamination import contamination
from autoif.report.section_example import example
from autoif.report.section_funnel import funnel_section
from autoif.report.section_results import results
from autoif.report.section_samples import answers, samples
from autoif.report.section_supervision import supervision
from autoif.report.section_training import training
from autoif.report.summary import headline, key_figures, subtitle, title
from autoif.report.text import escape

if TYPE_CHECKING:
    from autoif.report.site import RunSummary

PROFILES_ABOUT = "The funnels of several pipelines side by side: what each keeps, and why it drops the rest."
SECTIONS = (
    ("results", "Results"),
    ("contamination", "Contamination"),
    ("funnel", "Funnel"),
    ("profiles", "Profiles"),
    ("supervision", "Supervision"),
    ("example", "Example"),
    ("training", "Training"),
    ("answers", "Answers"),
    ("samples", "Samples"),
    ("provenance", "Provenance"),
)


def render(report: Report, beside: Sequence[RunSummary] = ()) -> str:
    """The whole page. ``beside``: runs whose funnels are shown side by side."""
    parts = {
        "results": results(report),
        "contamination": contamination(report),
        "funnel": funnel_section(report),
        "profiles": section("profiles", "Profiles", PROFILES_ABOUT, side_by_side(beside)),
        "supervision": supervision(report),
        "example": example(report),
        "training": training(report),
        "answers": answers(report),
        "samples": samples(report),
        "provenance": provenance(report),
    }
    sentence, tone = headline(report)
    header = (
        f'<p class="over">AutoIF run <bdi>{escape(report.config.name)}</bdi></p><h1>{escape(title(report.config))}</h1>'
        f'<p class="about">{escape(subtitle(report))}</p><p class="lede {tone}">{escape(sentence)}</p>'
        f"{_missing(report)}{figures(key_figures(report))}"
    )
    depth = len(PurePath(report.config.name).parts)
    links = [(f"#{key}", label) for key, label in SECTIONS if parts[key]] + [(f"{'../' * depth}index.html", "All runs")]
    footer = "Written by autoif from the store's manifests and rows. Model output on this page is shown as text only."
    return document(f"{report.config.name}: {title(report.config)}", header, "\n".join(parts.values()), links, footer)


def _missing(report: Report) -> str:
    if not report.missing:
        return ""
    waiting = [stage.title for stage in report.missing if not stage.problem]
    lines = [
        f"<p>{escape(stage.title)} cannot be read: {escape(stage.problem)}</p>"
        for stage in report.missing
        if stage.problem
    ]
    if waiting:
        done = len(report.stages) - len(report.missing)
        lines.insert(
            0,
            f"<p>{done} of {len(report.stages)} stages are done. Still missing: {escape(', '.join(waiting))}. "
            "Start the same command again to go on from here.</p>",
        )
    return f'<div class="warn">{"".join(lines)}</div>'
