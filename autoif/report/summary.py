"""What the numbers say, for every form of the report alike: names, measures, the headline, key figures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from autoif.config import GrpoAlgorithm, NoTraining, OfflineDpoAlgorithm, OnlineDpoAlgorithm, RunConfig, SftAlgorithm
from autoif.records import Comparison, Result
from autoif.report.collect import Report, models
from autoif.report.text import count, duration, number, signed

BENCHMARKS = {"heldout": "held-out", "ifeval": "IFEval", "followbench": "FollowBench", "infobench": "InfoBench"} | {
    "mt_bench": "MT-Bench",
    "arena_hard_v0.1": "Arena-Hard v0.1",
    "arena_hard_v2.0": "Arena-Hard v2.0",
    "gsm8k": "GSM8K",
    "humaneval": "HumanEval",
    "mmlu": "MMLU",
    "ceval": "C-Eval",
    "ifbench": "IFBench",
}
METRICS = {
    "followed": "instruction followed",
    "accuracy": "functions passed",
    "prompt_level_strict_acc": "prompt, strict",
    "prompt_level_loose_acc": "prompt, loose",
    "inst_level_strict_acc": "instruction, strict",
    "inst_level_loose_acc": "instruction, loose",
    "flexible_extract": "last number right",
    "strict_match": "number after the phrase right",
    "acc": "accuracy",
    "hsr": "HSR",
    "ssr": "SSR",
    "csl": "CSL",
    "drfr": "DRFR",
}


ALGORITHMS = {
    NoTraining: "as it is",
    SftAlgorithm: "SFT",
    OfflineDpoAlgorithm: "SFT and offline DPO",
    OnlineDpoAlgorithm: "SFT and online DPO",
    GrpoAlgorithm: "SFT and GRPO",
}
SETTINGS = {"strong_to_weak": "Strong-to-weak", "self_alignment": "Self-alignment"}


def title(config: RunConfig) -> str:
    """What was trained, and how."""
    return f"{config.model.name}, {ALGORITHMS.get(type(config.algorithm), config.algorithm.name)}"


def subtitle(report: Report) -> str:
    """Setting and supervisor, seed and size of the run."""
    config = report.config
    setting = SETTINGS.get(config.setting.kind.value, config.setting.kind.value)
    return (
        f"{setting}, supervised by {supervisor(report)}. Seed {config.seed}, {config.hardware.name} hardware profile."
    )


def supervisor(report: Report) -> str:
    """What answered for the supervisor: its configured model, else its identity in the manifests."""
    if report.config.supervisor.model not in ("", "???"):
        return report.config.supervisor.model
    for stage in report.stages:
        engines = stage.manifest.key.get("engines", {}) if stage.manifest else {}
        if found := str(engines.get("supervisor") or ""):
            replayed = RECORDED.fullmatch(found)
            return f"{replayed[1]} (recorded)" if replayed else found
    return "an unnamed supervisor"


PHRASES = {
    "followed": "the share of answers that follow their instruction",
    "accuracy": "the mean share of functions passed",
    "prompt_level_strict_acc": "strict prompt-level accuracy",
    "prompt_level_loose_acc": "loose prompt-level accuracy",
    "inst_level_strict_acc": "strict instruction-level accuracy",
    "inst_level_loose_acc": "loose instruction-level accuracy",
}
"""Metrics inside a sentence."""


RECORDED = re.compile(r"recorded:(.+)#[0-9a-f]+")
"""Identity of a recording: the model that answered, and the file's content."""
TESTS = {"mcnemar": "McNemar"}


def benchmark_name(name: str) -> str:
    """As it is written in papers."""
    return BENCHMARKS.get(name, name.replace("_", " "))


def metric_name(name: str) -> str:
    """Readable form of a metric's key."""
    return METRICS.get(name, name.replace("_", " "))


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate − baseline with its 95% interval. ``paired``: on the same items; ``test`` and ``p_value`` only then."""

    value: float
    low: float
    high: float
    n: int
    paired: bool
    test: str = ""
    p_value: float | None = None

    @property
    def how(self) -> str:
        """How the interval was found: ``McNemar, p = 0.012`` or ``unpaired``."""
        if self.p_value is None:
            return "unpaired"
        return f"{TESTS.get(self.test, self.test.replace('_', ' '))}, p = {self.p_value:.3g}"

    @property
    def verdict(self) -> str:
        """gain, loss, or open when the interval holds zero."""
        return "gain" if self.low > 0 else "loss" if self.high < 0 else "open"


@dataclass(slots=True)
class Measure:
    """One metric over the models, the base first. ``shares``: values lie in [0, 1] and are shown as percentages.

    ``differences``: every other model against the base.
    """

    benchmark: str
    metric: str
    by_model: dict[str, Result]
    shares: bool
    differences: dict[str, Difference] = field(default_factory=dict)

    @property
    def difference(self) -> Difference | None:
        """The last model against the base: what the run as a whole did."""
        return self.differences.get(list(self.by_model)[-1])

    @property
    def judge(self) -> str | None:
        """Who judged, when a model did."""
        return next((result.judge for result in self.by_model.values() if result.judge), None)

    @property
    def sample(self) -> bool:
        """Whether only part of the benchmark was run."""
        return any(result.sample for result in self.by_model.values())

    def show(self, value: float) -> str:
        """A value of this metric: percentages without their sign."""
        return f"{100 * value:.1f}" if self.shares else number(value)

    def shift(self, value: float) -> str:
        """A difference of this metric, signed."""
        return signed(100 * value) if self.shares else signed(value, 2)

    @property
    def unit(self) -> str:
        """Unit of a difference."""
        return " points" if self.shares else ""


def measures(results: Sequence[Result], comparisons: Sequence[Comparison]) -> list[Measure]:
    """Results grouped over models, each with the others' differences to the first."""
    groups: dict[tuple[str, str, str | None, int], dict[str, Result]] = {}
    for result in results:
        groups.setdefault((result.benchmark, result.metric, result.judge, result.seed), {})[result.model] = result
    order = models(results, comparisons)
    found = []
    for (benchmark, metric, _, _), group in groups.items():
        by_model = {name: group[name] for name in order if name in group}
        shares = all(0 <= result.value <= 1 for result in group.values())
        base, *others = by_model.values()
        changes = {other.model: _difference(comparisons, base, other) for other in others}
        known = {name: change for name, change in changes.items() if change is not None}
        found.append(Measure(benchmark, metric, by_model, shares, known))
    return found


def _difference(comparisons: Iterable[Comparison], base: Result, other: Result) -> Difference | None:
    key = (base.benchmark, base.metric, base.model, other.model)
    for row in comparisons:
        if (row.benchmark, row.metric, row.baseline, row.candidate) == key:
            return Difference(row.difference, row.low, row.high, row.n, True, row.test, row.p_value)
    if None in (base.low, base.high, other.low, other.high):
        return None
    return unpaired(base, other)


def unpaired(base: Result, trained: Result) -> Difference:
    """Difference of two results with intervals, as if measured on independent items (Newcombe 1998, method 10)."""
    value = trained.value - base.value
    assert None not in (base.low, base.high, trained.low, trained.high)
    below = math.hypot(trained.value - (trained.low or 0.0), (base.high or 0.0) - base.value)
    above = math.hypot((trained.high or 0.0) - trained.value, base.value - (base.low or 0.0))
    return Difference(value, value - below, value + above, min(base.n, trained.n), paired=False)


def primary(found: Sequence[Measure]) -> Measure | None:
    """The measure the headline is about: IFEval if it ran whole, else held-out, else whatever was compared first."""

    def rank(measure: Measure) -> tuple[bool, int]:
        whole_ifeval = measure.benchmark == "ifeval" and not measure.sample
        return measure.difference is None, 0 if whole_ifeval else 1 if measure.benchmark == "heldout" else 2

    return min(found, key=rank, default=None)


def headline(report: Report) -> tuple[str, str]:
    """One sentence with n and interval whatever the sign, and its tone: gain, loss, open or none."""
    measure = primary(measures(report.results, report.comparisons))
    if measure is None:
        return "Nothing has been measured yet.", "none"
    names = list(measure.by_model)
    last = measure.by_model[names[-1]]
    what = f"{benchmark_name(measure.benchmark)} prompts{' (a sample)' if measure.sample else ''}"
    phrase = PHRASES.get(measure.metric, metric_name(measure.metric))
    percent_sign = "%" if measure.shares else ""
    if measure.difference is None:
        interval = _interval(measure, last)
        return (
            f"On {count(last.n)} {what}, {names[-1]} reaches {measure.show(last.value)}{percent_sign}{interval}.",
            "none",
        )
    base, change = measure.by_model[names[0]], measure.difference
    verdict = {
        "gain": "a gain",
        "loss": "a loss",
        "open": "not distinguishable from no change",
    }[change.verdict]
    return (
        f"On {count(change.n)} {what}, {phrase} goes from {measure.show(base.value)}"
        f"{percent_sign} to {measure.show(last.value)}{percent_sign}: {measure.shift(change.value)}{measure.unit} "
        f"(95% interval {measure.shift(change.low)} to {measure.shift(change.high)}), {verdict}."
    ), change.verdict


def _interval(measure: Measure, result: Result) -> str:
    if result.low is None or result.high is None:
        return ""
    return f" (95% interval {measure.show(result.low)} to {measure.show(result.high)})"


def left_out(report: Report) -> list[str]:
    """Benchmarks that the configuration asks for and that cannot be run here, each with the reason."""
    from evaluation.stages import available

    measured = {result.benchmark for result in report.results}
    return [
        f"{benchmark_name(name)} was left out: {reason}."
        for name, reason in available(report.config.evaluation).items()
        if reason and name not in measured
    ]


def key_figures(report: Report) -> list[tuple[str, str]]:
    """(figure, what it counts): instructions, data, training, time; only what is there."""
    figures = []

    def kept(name: str) -> int | None:
        stage = report.stage(name)
        return stage.manifest.kept if stage and stage.manifest else None

    instructions, verified = kept("self_instruct"), kept("nli_filter")
    if instructions is not None and verified is not None:
        figures.append((f"{count(verified)} / {count(instructions)}", "instructions with verified functions"))
    if (samples := kept("sft_dataset")) is not None:
        figures.append((count(samples), "SFT samples"))
        if (mixed := kept("mix_examples")) is not None:
            figures.append((count(mixed - samples), "general conversations beside them"))
    pairs = [s.manifest.kept for s in report.stages if s.name in ("preference_dataset", "online_pairs") and s.manifest]
    if pairs:
        figures.append((count(sum(pairs)), "preference pairs"))
    groups = [s.manifest.kept for s in report.stages if s.name == "answer_groups" and s.manifest]
    if groups:
        figures.append((count(sum(groups)), "groups of own answers"))
    steps = [training.steps for training in report.trainings]
    if steps:
        figures.append((count(sum(steps)), "optimizer steps"))
    figures.append((duration(total_seconds(report)), "wall time of all stages"))
    return figures


def total_seconds(report: Report) -> float:
    """Wall time of all finished stages, in seconds."""
    return sum(stage.manifest.seconds for stage in report.stages if stage.manifest)
