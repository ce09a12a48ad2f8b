"""Scoring existing answers and aggregating existing judgments, without a model: one entry for all benchmarks.

A new benchmark is one module and one arm of :func:`rescore`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoif.errors import ConfigError, DataError
from autoif.execution import ExecutionConfig, ExecutionEngine
from autoif.records import EvaluationItem, Result
from evaluation import arena_hard, data, followbench, gsm8k, humaneval, ifeval, infobench, mt_bench, summary


@dataclass(frozen=True, kw_only=True, slots=True)
class Existing:
    """Files to score. ``responses``: answers in a benchmark's published form; ``judgments``: likewise, for the judged
    ones. ``model``: whose they are; ``judge``: who judged, where the file does not say. ``partial``: questions without
    an answer are left out instead of being an error."""

    benchmark: str
    model: str
    data_dir: str
    responses: Path | None = None
    judgments: Path | None = None
    judge: str = "unnamed judge"
    partial: bool = False
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)


@dataclass(slots=True)
class Rescored:
    """Items with their scores, the numbers they come to, and what must be said beside these."""

    items: list[EvaluationItem]
    results: list[Result]
    notes: list[str]


BENCHMARKS = (
    "ifeval", "gsm8k", "humaneval", "followbench", "infobench", "mt_bench", "arena_hard_v0.1", "arena_hard_v2.0",
)  # fmt: skip


def rescore(existing: Existing, seed: int = 0) -> Rescored:
    """Score what is there. Raises :class:`DataError` naming answers and judgments that don't fit the benchmark."""
    facts: dict[str, Any] = {"notes": []}
    match existing.benchmark:
        case "ifeval":
            ifeval.prepare(existing.data_dir)
            path = data.locate(data.IFEVAL, existing.data_dir)
            items = list(_scored(existing, path, ifeval.rescore, facts))
        case "gsm8k":
            items = list(_scored(existing, data.locate(gsm8k.SOURCE, existing.data_dir), gsm8k.rescore, facts))
        case "humaneval":
            items = _humaneval(existing)
        case "followbench":
            items = _followbench(existing, facts)
            return Rescored(items, followbench.aggregate(items, seed), facts["notes"])
        case "infobench":
            asked = infobench.load(data.locate(infobench.SOURCE, existing.data_dir))
            judged = _need(existing, "judgments")
            items = infobench.rescore(judged, asked, model=existing.model, judge=existing.judge, facts=facts)
        case "mt_bench":
            questions = mt_bench.load(existing.data_dir)
            turns = mt_bench.read_answers(existing.responses, questions) if existing.responses else None
            grades = mt_bench.read_judgments(_need(existing, "judgments"))
            items = mt_bench.rescore(grades, questions, existing.model, turns)
        case arena_hard.V01.name | arena_hard.V20.name as name:
            version = arena_hard.V01 if name == arena_hard.V01.name else arena_hard.V20
            requests = arena_hard.load(version, existing.data_dir)
            answers = arena_hard.read_answers(existing.responses, requests) if existing.responses else None
            rows = arena_hard.read_judgments(_need(existing, "judgments"))
            items = arena_hard.rescore(version, rows, requests, existing.model, answers)
            return Rescored(items, arena_hard.aggregate(version, items, seed), facts["notes"])
        case other:
            raise ConfigError(f"no benchmark {other}: there are {', '.join(BENCHMARKS)}")
    sampled = [(existing.benchmark, existing.model)] if facts.get("sample") else []
    return Rescored(items, list(summary.results(summary.collect(items), sampled, seed)), facts["notes"])


def _scored(existing: Existing, path: Path, score: Callable[..., Any], facts: dict[str, Any]) -> list[EvaluationItem]:
    found: list[EvaluationItem] = list(
        score(_need(existing, "responses"), path, model=existing.model, partial=existing.partial, facts=facts)
    )
    return found


def _humaneval(existing: Existing) -> list[EvaluationItem]:
    problems = humaneval.load(data.locate(humaneval.SOURCE, existing.data_dir))
    samples = humaneval.read_samples(_need(existing, "responses"), problems, existing.partial)
    with ExecutionEngine(humaneval.limits(existing.execution)) as engine:
        return list(humaneval.score(engine, samples, existing.model))


def _followbench(existing: Existing, facts: dict[str, Any]) -> list[EvaluationItem]:
    """Rules judge again; judged items come from the judgments, or are left out where there are none."""
    asked = followbench.load(existing.data_dir)
    alignment = followbench.read_answers(_need(existing, "responses"), asked).check()
    facts["notes"] = alignment.notes()
    if existing.judgments is None:
        facts["notes"].append("no judgments: only the groups that rules judge are scored")
        answered = ((item, alignment.responses[item.id]) for item in asked)
        return list(followbench.score(answered, None, existing.model))
    verdicts = followbench.read_judgments(existing.judgments, asked)
    unread = sum(verdict is None for verdict in verdicts.values())
    if unread:
        facts["notes"].append(f"{unread} judgments cannot be parsed and count as nothing satisfied")
    return list(followbench.rescore(alignment.responses, verdicts, asked, existing.model, existing.judge))


def _need(existing: Existing, what: str) -> Path:
    path: Path | None = getattr(existing, what)
    if path is None:
        raise ConfigError(f"{existing.benchmark} needs a file of {what}")
    if not path.exists():
        raise DataError(f"{path} does not exist: {existing.benchmark} needs it for its {what}")
    return path
