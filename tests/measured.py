"""Points of an experiment as if they had been run: their entries in the store, without the work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from autoif.config import RunConfig
from autoif.pipeline import build
from autoif.records import Comparison, EvaluationItem, Record, Response, Result, encode
from autoif.stage import Stage
from autoif.store import Manifest, Store

N = 48


def result(model: str, value: float, benchmark: str = "heldout", metric: str = "followed", seed: int = 0) -> Result:
    return Result(
        benchmark=benchmark, metric=metric, value=value, n=N, low=value - 0.1, high=value + 0.1, model=model, seed=seed
    )


def comparison(model: str, difference: float, benchmark: str = "heldout", metric: str = "followed") -> Comparison:
    return Comparison(
        benchmark=benchmark,
        metric=metric,
        baseline="base",
        candidate=model,
        difference=difference,
        low=difference - 0.07,
        high=difference + 0.09,
        p_value=0.04,
        test="mcnemar",
        n=N,
    )


def item(model: str, number: int, met: bool) -> EvaluationItem:
    return EvaluationItem(
        id=f"p{number:03}",
        benchmark="heldout",
        model=model,
        prompt=f"prompt {number}",
        response=f"an answer of {model}",
        scores={"followed": float(met)},
    )


def commit(stage: Stage, store: Store, rows: Iterable[Record], seconds: float = 1.0, kept: int | None = None) -> None:
    """Make ``stage`` done with ``rows``; ``kept``: what its manifest says, if it is to say more."""
    entry = stage.entry(store)
    entry.files.mkdir(parents=True)
    data = b"".join(encode(row) + b"\n" for row in rows)
    entry.records_path.write_bytes(data)
    manifest = Manifest(
        stage=stage.name,
        fingerprint=entry.fingerprint,
        key=entry.key,
        inputs=0,
        kept=data.count(b"\n") if kept is None else kept,
        rejected={},
        records_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=seconds,
        facts={"calls": {"asked": 10, "used_in": 1000, "used_out": 400}} if stage.name == "respond" else {},
    )
    entry.commit(manifest)


def measure(config: RunConfig, values: Mapping[str, float], sft: int = 85, pairs: int = 40) -> None:
    """Results of ``config``'s point: measured model → share of followed held-out prompts, and of loose IFEval ones."""
    store = Store(Path(config.paths.store))
    base = next(iter(values.values()))
    for stage in build(config):
        if stage.entry(store).done:
            continue
        rows: list[Record] = []
        kept = None
        match stage.name:
            case "results":
                loose = ("ifeval", "prompt_level_loose_acc")
                rows = [r for m, v in values.items() for r in (result(m, v), result(m, v - 0.1, *loose))]
            case "comparisons":
                rows = [comparison(model, value - base) for model, value in values.items() if model != "base"]
            case "answer_heldout":
                model = stage.title.removeprefix("answer_heldout_")
                rows = [item(model, i, i < N * values[model]) for i in range(N) if model in values]
            case "sft_dataset":
                kept = sft
            case "online_pairs" | "preference_dataset":
                kept = pairs
        commit(stage, store, rows, seconds=2.0, kept=kept)


def responses(scores: Iterable[float | None]) -> tuple[Response, ...]:
    return tuple(Response(index=i, text="an answer", score=score) for i, score in enumerate(scores))
