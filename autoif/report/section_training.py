"""Training curves: every metric of SFT and of all later iterations, on one axis of optimizer steps."""

from __future__ import annotations

from autoif.report.charts import Chart, Series, chart
from autoif.report.collect import Report, Training
from autoif.report.page import section
from autoif.report.text import count, escape, number, plural

CHARTS_SHOWN = 12
TOGETHER = {"chosen_reward": "rewards", "rejected_reward": "rewards"}
"""Metrics that share a chart, by its title."""
FIRST = ("loss", "reward", "margin", "accuracy", "rewards")
HEADINGS = {
    "SFT": "Supervised fine-tuning",
    "DPO": "Direct preference optimisation",
    "GRPO": "Group-relative policy optimisation",
}


def training(report: Report) -> str:
    """The training part of the page; empty before anything was trained."""
    parts = []
    for method, heading in HEADINGS.items():
        trainings = [training for training in report.trainings if training.method == method and training.rows]
        if trainings:
            parts.append(f"<h3>{heading}</h3>{_effort(trainings)}{_charts(trainings)}")
    return section(
        "training", "Training", "Faint lines are single steps, strong ones a moving average. Hover for values.", *parts
    )


def _effort(trainings: list[Training]) -> str:
    """Steps, tokens, speed and memory in one line; speeds of several iterations are averaged over their tokens."""
    steps, tokens = sum(t.steps for t in trainings), sum(t.tokens for t in trainings)
    said = [plural(steps, "optimizer step")]
    if len(trainings) > 1:
        said.append(f"{len(trainings)} iterations")
    if tokens:
        said.append(f"{count(tokens)} tokens")
    if seconds := sum(float(t.facts.get("train_seconds") or 0.0) for t in trainings):
        said.append(f"{count(round(tokens / seconds))} tokens/s")
    if memory := max(float(t.facts.get("peak_memory_gb") or 0.0) for t in trainings):
        said.append(f"{memory:.1f} GB at most")
    said += [str(trainings[-1].facts[name]) for name in ("strategy", "precision") if trainings[-1].facts.get(name)]
    return f'<p class="small">{escape(", ".join(said))}</p>'


def _charts(trainings: list[Training]) -> str:
    names = dict.fromkeys(name for t in trainings for row in t.rows for name in row.values())
    titles: dict[str, list[str]] = {}
    for name in names:
        titles.setdefault(TOGETHER.get(name, name), []).append(name)
    order = sorted(titles, key=lambda t: (FIRST.index(t) if t in FIRST else len(FIRST), t == "learning_rate"))
    return f'<div class="charts">{"".join(_chart(trainings, t, titles[t]) for t in order[:CHARTS_SHOWN])}</div>'


def _chart(trainings: list[Training], title: str, names: list[str]) -> str:
    tones = {"loss": "accent", "grad_norm": "quiet", "learning_rate": "quiet"}
    series = []
    for i, name in enumerate(names):
        tone = "quiet" if i else tones.get(title, "drop")
        series.append(Series(name.replace("_", " "), _segments(trainings, name), tone, noisy=name != "learning_rate"))
    values = [y for segment in series[0].segments for _, y in segment]
    return chart(
        Chart(
            title=title.replace("_", " "),
            series=series,
            marks=[(float(start), f"iteration {i + 2}") for i, start in enumerate(_starts(trainings)[1:])],
            note=_note(title, values) if len(series) == 1 else "",
            zero=title in ("margin", "rewards"),
        )
    )


def _starts(trainings: list[Training]) -> list[int]:
    """Steps done before each training."""
    return [sum(t.steps for t in trainings[:i]) for i in range(len(trainings))]


def _segments(trainings: list[Training], name: str) -> list[list[tuple[float, float]]]:
    """One curve a training, moved behind those before it."""
    segments = []
    for training, start in zip(trainings, _starts(trainings), strict=True):
        values = [(row.step + start, row.values().get(name)) for row in training.rows]
        segments.append([(float(step), value) for step, value in values if value is not None])
    return segments


def _note(title: str, values: list[float]) -> str:
    """What a curve came to without its noise: the means of its first and last tenth; of the learning rate, the peak."""
    if title == "learning_rate" and values:
        return f"peak {number(max(values))}"
    if len(values) < 2:
        return ""
    tenth = max(1, len(values) // 10)
    return f"{number(sum(values[:tenth]) / tenth)} → {number(sum(values[-tenth:]) / tenth)}"
