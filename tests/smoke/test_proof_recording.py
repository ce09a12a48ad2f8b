"""The proof's recording answers all that its pipeline asks, and gives the data that docs/results.md speaks of."""

from __future__ import annotations

from pathlib import Path

from autoif.border import load
from autoif.records import SftExample, Verifier
from autoif.store import Store
from autoif.synthesis.graph import synthesis
from autoif.tasks import dispatch

ROOT = Path(__file__).parents[2]


def test_the_recorded_supervision_gives_what_the_results_are_about(tmp_path: Path) -> None:
    settings = ["name=data", "pipeline=proof", "supervisor=recorded_proof", "algorithm=none", "evaluation=none"]
    config = load([*settings, f"paths.store={tmp_path}/store", f"paths.runs={tmp_path}/runs"])
    dispatch(config)
    made, store = synthesis(config), Store(Path(config.paths.store))
    rows = list(made.verified.entry(store).records(Verifier))
    told = " ".join((ROOT / "docs/results.md").read_text(encoding="utf-8").split())
    assert f"**{len(rows)}** with {sum(len(row.functions) for row in rows)} functions" in told
    assert f"{sum(1 for _ in made.examples.entry(store).records(SftExample))} SFT samples" in told
