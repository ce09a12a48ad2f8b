"""Rows to read: base against trained answers, and kept and dropped records of every stage."""

from __future__ import annotations

from collections.abc import Sequence

from autoif.records import EvaluationItem
from autoif.report.collect import Pairing, Report, StageView
from autoif.report.page import details, labelled, section, tag, text_block
from autoif.report.rows import items
from autoif.report.summary import benchmark_name, metric_name
from autoif.report.text import count, escape, signed


def answers(report: Report) -> str:
    return section(
        "answers",
        "Answers side by side",
        "Base and trained model on prompts neither was trained on: where they differ, and drawn at random.",
        *(_pairing(pairing) for pairing in report.pairings),
    )


MOVES = (
    ((True, True), "both", "both meet it"),
    ((False, True), "gained", "gained"),
    ((True, False), "lost", "lost"),
    ((False, False), "neither", "neither"),
)


def _pairing(pairing: Pairing) -> str:
    total = sum(pairing.counts.values())
    moves = [(tone, label, pairing.counts.get(move, 0)) for move, tone, label in MOVES]
    bar = "".join(f'<i class="{tone}" style="flex:{n}" title="{label}: {n}"></i>' for tone, label, n in moves if n)
    legend = "".join(f'<span><i class="key {tone}"></i>{label} {count(n)}</span>' for tone, label, n in moves)
    heading = f"{benchmark_name(pairing.benchmark)}: {metric_name(pairing.metric)}, {count(total)} prompts"
    net = signed(pairing.counts.get((False, True), 0) - pairing.counts.get((True, False), 0), 0)
    return (
        f'<h3>{escape(heading)}</h3><div class="moves">{bar}</div>'
        f'<p class="legend">{legend}<span>net {net}</span></p>'
        + details(
            f"{len(pairing.shown)} prompts, gains and losses first",
            _cards(pairing, pairing.shown),
            open_=pairing.benchmark == "heldout",
        )
        + details(f"{len(pairing.drawn)} prompts drawn at random", _cards(pairing, pairing.drawn))
    )


def _cards(pairing: Pairing, both: Sequence[tuple[EvaluationItem, EvaluationItem]]) -> str:
    return "".join(_side_by_side(pairing, base, trained) for base, trained in both)


def _side_by_side(pairing: Pairing, base: EvaluationItem, trained: EvaluationItem) -> str:
    sides = []
    for name, answer in zip(pairing.models, (base, trained), strict=True):
        met = answer.scores.get(pairing.metric, 0.0) >= 1
        verdict = tag("met" if met else "not met", "ok" if met else "no")
        sides.append(f"<div>{tag(name)} {verdict}{text_block(answer.response)}</div>")
    prompt = labelled("prompt", text_block(base.prompt))
    return f'<div class="item">{prompt}<div class="pair">{"".join(sides)}</div></div>'


def samples(report: Report) -> str:
    blocks = [_stage_samples(stage) for stage in report.stages if stage.samples.kept or stage.samples.rejected]
    return section(
        "samples",
        "Samples",
        "Kept and dropped records of every stage, evenly chosen, the same every time. All of them: task=inspect.",
        *blocks,
    )


def _stage_samples(stage: StageView) -> str:
    groups = [group for group in stage.samples.rejected if group.rows]
    kept = items([(row, "") for row in stage.samples.kept])
    body = [f"<h3>Kept</h3>{kept}"] if stage.samples.kept else []
    for group in groups:
        rows = items(group.rows, dropped=True)
        body.append(f"<h3>Dropped: {escape(group.reason.replace('_', ' '))} ({count(group.count)})</h3>{rows}")
    kept_count = stage.manifest.kept if stage.manifest else 0
    dropped = sum(group.count for group in stage.samples.rejected)
    tally = f"{count(kept_count)} kept" + (f", {count(dropped)} dropped" if dropped else "")
    return details(f"<b>{escape(stage.title)}</b> <span class='note'>{tally}</span>", "".join(body))
