"""Adaptive sampling on the shipped recording: the same samples for fewer of the supervisor's tokens."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from autoif.border import load
from autoif.engines import Engines
from autoif.pipeline import build
from autoif.stage import run_stage
from autoif.store import Store


def synthesise(folder: Path, *overrides: str) -> Counter[str]:
    """Tokens that the supervisor's answers took at the query level, and the SFT samples made of them."""
    config = load(
        [
            "algorithm=sft_demo",
            "evaluation=none",
            "pipeline.sft_dataset.per_prompt=1",
            f"paths.store={folder}/store",
            f"paths.cache={folder}/cache",
            *overrides,
        ]
    )
    store, found = Store(Path(config.paths.store)), Counter[str]()
    with Engines(config) as engines:
        for stage in build(config):
            if stage.name.startswith("train"):
                return found
            manifest = run_stage(stage, store, engines)
            if stage.name in ("respond", "score"):
                calls = manifest.facts["calls"]
                found["tokens"] += calls["used_in"] + calls["used_out"]
            elif stage.name == "sft_dataset":
                found["samples"] = manifest.kept
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store: what does not depend on the sampling is made once."""
    return tmp_path_factory.mktemp("adaptive")


def test_without_scores_as_many_samples_cost_a_quarter_less(folder: Path) -> None:
    fixed = synthesise(folder, "pipeline.score.enabled=false")
    adaptive = synthesise(folder, "pipeline.score.enabled=false", "pipeline.sampling=adaptive")
    assert adaptive["samples"] == fixed["samples"]
    assert adaptive["tokens"] < 0.75 * fixed["tokens"]


def test_with_scores_a_sample_costs_less(folder: Path) -> None:
    fixed = synthesise(folder)
    adaptive = synthesise(folder, "pipeline.sampling=adaptive")
    assert adaptive["samples"] >= 0.9 * fixed["samples"]
    assert adaptive["tokens"] / adaptive["samples"] < 0.8 * fixed["tokens"] / fixed["samples"]
