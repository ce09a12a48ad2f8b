"""Every experiment's CPU twin, end to end: its graph on a tiny random model with the shipped recording, then its table.

The random model stands for the small one, and points and their training run in this process, one after the other: what
it costs to start processes is paid once. Everything else is what a user starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from training_tiny import tiny_model

from autoif import border
from autoif.points import alike, points
from autoif.records import TrainStep, read_records
from autoif.report.experiment import write_experiment
from autoif.report.site import TABLE
from autoif.report.table_data import Table
from autoif.tasks import dispatch
from autoif.training.job import Job

POINTS = {
    "table1_main": "qwen2_7b_offline_dpo",
    "cross_domain": "online_dpo",
    "table2_supervisor": "qwen2_72b_online_dpo,gpt_4_online_dpo",
    "table3_components": "full,without_quality_verification",
    "figure4_function_threshold": "threshold_0.0,threshold_1.0",
    "figure4_query_threshold": "threshold_0.0,threshold_1.0",
    "figure4_sft_fraction": "share_1_2,share_1",
    "figure4_dpo_fraction": "share_1_2,share_1",
    "table4_contamination": "qwen2_72b",
    "table5_data_efficiency": "qwen2_72b",
    "proof": "online_dpo",
    "proof_components": "without_any_quality_process",
}
"""Experiment → the points that are run: few, but every kind of graph is among them."""
TINY = [
    "model.package=null",
    "model.gguf_file=null",
    "model.parameters=0",
    "algorithm.sft.max_length=1024",
    "algorithm.sft.global_batch_size=16",
    "evaluation.heldout.limit=4",
    "evaluation.heldout.max_tokens=8",
    "evaluation.ifeval.limit=0",
    "pipeline.preference.chosen_threshold=0.0",
]
DPO = ["algorithm.dpo.max_length=1024", "algorithm.dpo.epochs=1"]
ONLINE = ["algorithm.max_tokens=160", "algorithm.samples=6", "algorithm.prompts=12"]


def overrides(name: str) -> list[str]:
    """What makes a twin tiny: keys that its algorithm does not have are left out."""
    text = (border.CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    chosen = [*TINY]
    if "algorithm: sft" not in text:
        chosen += DPO
    if "/algorithm: online_dpo" in text and "offline" not in POINTS[name]:
        chosen += ONLINE
    return chosen


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twins")
    tiny_model(folder / "model", max_position_embeddings=2048)
    return folder


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train here: a process of its own costs seconds each time, and has tests of its own."""
    from autoif.training import stages
    from autoif.training.run import run as train

    def launch(job: Job, facts: dict[str, Any]) -> Iterator[TrainStep]:
        if not Path(job.output).exists():
            Path(job.work).mkdir(parents=True, exist_ok=True)
            train(job)
        facts.update(msgspec.json.decode(job.result.read_bytes()))
        yield from read_records(job.curve, TrainStep)

    monkeypatch.setattr(stages, "launch", launch)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("name", POINTS)
def test_the_cpu_twin_runs_and_leaves_its_table(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "table4_contamination":
        if not os.environ.get("AUTOIF_DATA_DIR"):
            pytest.skip("compares with benchmark files: set AUTOIF_DATA_DIR")
    else:
        monkeypatch.delenv("AUTOIF_DATA_DIR", raising=False)
    places = [f"{place}={home / place.partition('.')[2]}" for place in ("paths.store", "paths.runs", "paths.cache")]
    chosen = [f"experiment={name}", "scale=cpu", f"experiment.point={POINTS[name]}", f"model.path={home / 'model'}"]
    cfg, _ = border.compose_any([*chosen, *places, *overrides(name)], multirun=False)
    found = points(cfg)
    same = alike(found)
    for point in found:
        if point.config.name not in same:
            dispatch(point.config)
    page = write_experiment([point.config for point in found], chosen, same)
    table = msgspec.json.decode((page.parent / TABLE).read_bytes(), type=Table)
    assert "done" in {row.state for row in table.rows}
    assert table.measured
    assert all((page.parent / file).exists() for file in ("table.md", "table.tex", "table.csv", "index.html"))
    assert (home / "runs" / "index.html").exists()
