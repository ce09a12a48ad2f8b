"""A store read as data frames: runs by fingerprint, with names, settings, results, funnels and curves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from report_run import PlausibleRun, RunSize, plausible_run

from autoif import report, results
from autoif.errors import DataError, MissingExtraError
from autoif.stage import run_stage

pytest.importorskip("pandas", reason="pandas is not installed")

SMALL = RunSize(instructions=12, heldout=4, steps=6, iterations=1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[PlausibleRun, PlausibleRun]:
    """Two points of a sweep in one store, the second with another seed, which shares nothing; both reported."""
    folder = tmp_path_factory.mktemp("runs")
    made = []
    for seed in (0, 1):
        run = plausible_run(folder, SMALL, name=f"sweep/seed={seed}", seed=seed).run()
        report.write(run.config, run.stages, run.store)
        made.append(run)
    return made[0], made[1]


@pytest.fixture(scope="module")
def frames(two: tuple[PlausibleRun, PlausibleRun]) -> results.Frames:
    return results.load(two[0].store.root)


def test_runs_are_read_off_the_store_and_named_by_their_reports(
    two: tuple[PlausibleRun, PlausibleRun], frames: results.Frames
) -> None:
    assert list(frames.runs["name"]) == ["sweep/seed=0", "sweep/seed=1"]
    assert list(frames.runs["seed"]) == [0, 1]
    assert frames.runs["finished"].all()
    ends = [next(s.entry(run.store).fingerprint for s in run.stages if s.name == "results") for run in two]
    assert list(frames.runs["run"]) == ends
    assert list(frames.runs["stages"]) == [len(run.stages) for run in two]


def test_results_and_comparisons_stand_beside_their_run(frames: results.Frames) -> None:
    rows = frames.results.query("benchmark == 'heldout' and metric == 'followed' and model == 'online_dpo'")
    assert list(rows["name"]) == ["sweep/seed=0", "sweep/seed=1"]
    assert rows["value"].between(0, 1).all()
    assert set(frames.comparisons["baseline"]) == {"base"}
    joined = frames.results.merge(frames.runs, on="run")
    assert len(joined) == len(frames.results)


def test_the_funnel_is_in_the_runs_order_and_adds_up(
    two: tuple[PlausibleRun, PlausibleRun], frames: results.Frames
) -> None:
    one = frames.funnels[frames.funnels["name"] == "sweep/seed=0"]
    assert list(one["stage"]) == [stage.title for stage in two[0].stages]
    reasons = frames.reasons.groupby(["name", "stage"])["count"].sum()
    dropped = frames.funnels[frames.funnels["dropped"] > 0].set_index(["name", "stage"])["dropped"]
    assert reasons.to_dict() == dropped.to_dict()


def test_curves_and_items_are_rows_with_their_metrics_as_columns(frames: results.Frames) -> None:
    steps = frames.curves("train_sft")
    assert list(steps[steps["name"] == "sweep/seed=0"]["step"]) == [1, 2, 3, 4, 5, 6]
    assert {"margin", "chosen_reward"} <= set(frames.curves("train_dpo"))
    items = frames.items("heldout")
    assert set(items["model"]) == {"base", "sft", "online_dpo"}
    assert items["followed"].isin([0.0, 1.0]).all()
    assert frames.items("ifeval").empty


def test_an_unfinished_run_is_there_too(tmp_path: Path) -> None:
    run = plausible_run(tmp_path, SMALL).run(until=6)
    assert list(results.load(run.store.root).runs["name"]) == [None, None], "verifiers and queries have not met yet"
    report.write(run.config, run.stages, run.store)
    frames = results.load(run.store.root)
    (row,) = frames.runs.to_dict("records")
    assert (row["name"], row["finished"], row["stages"]) == ("demo", False, 6)
    assert frames.results.empty
    assert list(frames.results.columns[:4]) == ["run", "name", "benchmark", "metric"]
    assert next(iter(frames.funnels["stage"])) == "self_instruct"


def test_points_share_stages_and_differ_where_they_differ(tmp_path: Path) -> None:
    base = plausible_run(tmp_path, SMALL).run()
    answered = [stage for stage in base.stages if stage.name == "answer_heldout"]
    again = [replace(stage, seed=7) for stage in answered]
    (summary,) = [stage for stage in base.stages if stage.name == "results"]
    for stage in (*again, replace(summary, inputs=tuple(again))):
        run_stage(stage, base.store, cast(Any, None))
    frames = results.load(base.store.root)
    assert len(frames.runs) == 2
    counts = frames.funnels.groupby("fingerprint")["run"].nunique()
    train = next(stage for stage in base.stages if stage.name == "train_sft").entry(base.store).fingerprint
    assert counts[train] == 2
    assert counts.value_counts().to_dict()[1] == 2 * (len(answered) + 1) + 1


def test_no_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is no store: give the folder that paths\.store names"):
        results.load(tmp_path / "nowhere")


def test_an_empty_store_has_empty_frames(tmp_path: Path) -> None:
    frames = results.load(tmp_path)
    assert frames.runs.empty
    assert frames.curves().empty
    assert frames.items().empty


def test_pandas_comes_late_and_its_lack_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import autoif.results, sys; sys.exit('pandas' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'autoif\[results\]'"):
        results.load(tmp_path)


def test_a_store_that_was_copied_reads_the_same(two: tuple[PlausibleRun, PlausibleRun], tmp_path: Path) -> None:
    shutil.copytree(two[0].store.root, tmp_path / "copy")
    copied = results.load(tmp_path / "copy", two[0].config.paths.runs)
    assert copied.results.equals(results.load(two[0].store.root).results)
