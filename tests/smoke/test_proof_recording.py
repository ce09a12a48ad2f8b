"""The proof's recording answers all that its pipeline asks, and gives the data that docs/results.md speaks of."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoif.border import load
from autoif.records import SftExample, Verifier
from autoif.store import Store
from autoif.synthesis.graph import synthesis
from autoif.tasks import dispatch

ROOT = Path(__file__).parents[2]
COMPONENTS = {
    "none": "all checks",
    "without_back_translation": "without back-translation",
    "without_cross_verification": "without cross verification",
    "without_any_quality_process": "without either",
}
"""Ablation → what its row is called in docs/results.md."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proof")


def made(home: Path, ablation: str) -> tuple[int, int, int]:
    """Instructions, functions and SFT samples of the proof's data without a check."""
    settings = ["name=data", "pipeline=proof", "supervisor=recorded_proof", "algorithm=none", "evaluation=none"]
    config = load([*settings, f"ablation={ablation}", f"paths.store={home}/store", f"paths.runs={home}/runs"])
    dispatch(config)
    graph, store = synthesis(config), Store(Path(config.paths.store))
    rows = list(graph.verified.entry(store).records(Verifier))
    samples = sum(1 for _ in graph.examples.entry(store).records(SftExample))
    return len(rows), sum(len(row.functions) for row in rows), samples


def told() -> str:
    return " ".join((ROOT / "docs/results.md").read_text(encoding="utf-8").split())


def test_the_recorded_supervision_gives_what_the_results_are_about(home: Path) -> None:
    instructions, functions, samples = made(home, "none")
    assert f"**{instructions}** with {functions} functions" in told()
    assert f"{samples} SFT samples" in told()


@pytest.mark.parametrize("ablation", COMPONENTS)
def test_the_recording_answers_what_each_ablation_asks(ablation: str, home: Path) -> None:
    instructions, functions, samples = made(home, ablation)
    assert f"| {COMPONENTS[ablation]} | {instructions} | {functions} | {samples} |" in told()
