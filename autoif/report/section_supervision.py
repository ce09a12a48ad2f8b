"""What supervision took: tokens of the supervisor for each sample and pair that came of them, and the call cache.

Tokens are those of every answer that a stage got, whether it was asked for, cached or replayed: what the same work
costs from scratch. So runs with fixed and with adaptive sampling compare, whatever they found in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoif.report.collect import Report, StageView
from autoif.report.page import section, table
from autoif.report.text import count, escape, number, percent, size

QUERY_LEVEL = ("respond", "score")
"""Stages whose calls grow with the samples of a prompt; the supervisor's other calls are at the instruction level."""

HEAD = ("supervisor's answers", "answers", "tokens in", "tokens out", "tokens per SFT sample", "tokens per DPO pair")


@dataclass(slots=True)
class Level:
    """Answers of the supervisor that some stages got, and their tokens."""

    answers: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, calls: Mapping[str, float]) -> None:
        """The counts that a stage noted."""
        self.answers += int(sum(calls.get(name, 0) for name in ("asked", "cached", "replayed")))
        # Runs from before answers were counted know what was paid for.
        self.tokens_in += int(calls.get("used_in", calls.get("tokens_in", 0)))
        self.tokens_out += int(calls.get("used_out", calls.get("tokens_out", 0)))


def levels(report: Report) -> dict[str, Level]:
    """Instruction level, query level and both; empty when no supervisor's answer was counted."""
    found = {"instruction level": Level(), "query level": Level(), "both": Level()}
    for stage in report.stages:
        if calls := _calls(stage, "supervisor"):
            found["query level" if stage.name in QUERY_LEVEL else "instruction level"].add(calls)
            found["both"].add(calls)
    return found if found["both"].answers else {}


def rows(report: Report) -> list[list[str]]:
    """Cells of the table under :data:`HEAD`, as plain text."""
    samples, pairs = _kept(report, "sft_dataset"), _kept(report, "preference_dataset", "online_pairs")
    return [
        [
            name,
            count(level.answers),
            count(level.tokens_in),
            count(level.tokens_out),
            *(number((level.tokens_in + level.tokens_out) / made) if made else "–" for made in (samples, pairs)),
        ]
        for name, level in levels(report).items()
    ]


def notes(report: Report) -> list[str]:
    """Sampling and cache, a sentence each."""
    if not levels(report):
        return []
    mode, most = report.config.pipeline.sampling.value, report.config.pipeline.respond.samples
    bound = f"up to {most}" if mode == "adaptive" else str(most)
    said = [f"Sampling: {mode}, {bound} answers a prompt."]
    noted = [calls for stage in report.stages if (calls := _calls(stage))]
    asked, cached = (sum(calls.get(name, 0) for calls in noted) for name in ("asked", "cached"))
    if asked + cached:
        said.append(
            f"Call cache: {count(int(cached))} of {count(int(asked + cached))} answers came from it "
            f"({percent(cached / (asked + cached))})" + _size(noted)
        )
    return said


def supervision(report: Report) -> str:
    """The supervision part of the page."""
    cells = [[escape(cell) for cell in row] for row in rows(report)]
    return section(
        "supervision",
        "Supervision",
        "Tokens of all answers, cached and replayed ones included: what the same work costs from scratch.",
        table([head[0].upper() + head[1:] for head in HEAD], cells, range(1, len(HEAD))),
        *(f'<p class="small">{escape(note)}</p>' for note in notes(report)),
    )


def _size(noted: list[Mapping[str, float]]) -> str:
    largest = max((calls.get("cache_bytes", 0) for calls in noted), default=0)
    return f"; the cache took {size(int(largest))} by then." if largest else "."


def _calls(stage: StageView, role: str = "") -> Mapping[str, float]:
    """What a finished stage noted of its calls, if ``role`` is among its engines."""
    if stage.manifest is None or (role and role not in (stage.manifest.key.get("engines") or {})):
        return {}
    noted = stage.manifest.facts.get("calls")
    return noted if isinstance(noted, Mapping) else {}


def _kept(report: Report, *names: str) -> int:
    return sum(stage.manifest.kept for stage in report.stages if stage.manifest and stage.name in names)
