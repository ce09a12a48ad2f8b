"""The shipped experiments: points compose at both scales, make rows that the paper has, and share their stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from autoif import border, sweep
from autoif import point as process
from autoif.border import CONF
from autoif.config import GrpoAlgorithm, OnlineDpoAlgorithm, RecordedSupervisor
from autoif.errors import ConfigError
from autoif.pipeline import build
from autoif.points import Point, alike, points
from autoif.report import paper
from autoif.store import Store

TABLES = {
    "table1_main",
    "cross_domain",
    "table2_supervisor",
    "table3_components",
    "figure4_function_threshold",
    "figure4_query_threshold",
    "figure4_sft_fraction",
    "figure4_dpo_fraction",
    "table4_contamination",
    "table5_data_efficiency",
}
"""The paper's tables and figures; further experiments are not its own."""
EXPERIMENTS = sorted(TABLES)


def expand(*overrides: str) -> list[Point]:
    cfg, is_sweep = border.compose_any(overrides, multirun=False)
    assert is_sweep
    return points(cfg)


@pytest.fixture(scope="module")
def expanded() -> dict[tuple[str, str], list[Point]]:
    """(experiment, scale) → its points, of figures the two ends; empty scale: the paper's."""
    found = {}
    for name in EXPERIMENTS:
        names = list(written(name)["points"])
        ends = [f"experiment.point={names[0]},{names[-1]}"] if name.startswith("figure") else []
        for scale in ("", "cpu"):
            found[name, scale] = expand(f"experiment={name}", *ends, *([f"scale={scale}"] if scale else []))
    return found


def written(name: str) -> dict[str, Any]:
    """What stands under ``experiment`` in the file."""
    text = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text).get("experiment", {})
    return found


def test_every_table_of_the_file_has_an_experiment_and_none_names_another() -> None:
    files = (path.stem for path in (CONF / "experiment").glob("*.yaml"))
    named = {name: written(name).get("table") for name in files if written(name)}
    assert set(EXPERIMENTS) <= {name for name, table in named.items() if table}
    assert {table for table in named.values() if table} == set(paper.names())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_holds_only_its_deltas_and_rows_of_the_paper(name: str) -> None:
    stated = paper.table(written(name)["table"]).rows
    made = {row for key, point in written(name)["points"].items() for row in point.get("rows", {"": key}).values()}
    assert made <= set(stated)
    lines = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith("# ")
    assert len(lines) < 55
    assert not [line for line in lines if line.startswith("hydra:")]


@pytest.mark.parametrize("scale", ["", "cpu"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_points_make_rows_that_the_paper_has(
    expanded: dict[tuple[str, str], list[Point]], name: str, scale: str
) -> None:
    found = expanded[name, scale]
    stated = paper.table(str(found[0].config.experiment.table)).rows
    for point in found:
        experiment = point.config.experiment
        assert list(experiment.points) == [experiment.point]
        rows = experiment.points[str(experiment.point)].rows
        assert set(rows.values() or [str(experiment.point)]) <= set(stated)
        assert point.config.name == f"{name}{'_cpu' if scale else ''}/{experiment.point}"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_papers_scale_is_the_papers_and_its_twin_runs_anywhere(
    expanded: dict[tuple[str, str], list[Point]], name: str
) -> None:
    for large, small in zip(expanded[name, ""], expanded[name, "cpu"], strict=True):
        assert large.config.pipeline.name == "paper"
        assert "smollm" not in large.config.model.name
        assert not large.config.algorithm.name.endswith(("_demo", "_small"))
        assert (small.config.pipeline.name, small.config.model.name) == ("demo", "smollm2_135m")
        assert isinstance(small.config.supervisor, RecordedSupervisor)
        assert small.config.hardware.name == "cpu"
        assert type(small.config.algorithm) is type(large.config.algorithm)


def test_what_is_typed_wins_over_points_and_stand_ins() -> None:
    point, *_ = expand("experiment=table2_supervisor", "scale=cpu", "algorithm=sft_demo", "model=qwen2_7b")
    assert (point.config.algorithm.name, point.config.model.name) == ("sft_demo", "qwen2_7b")
    (one,) = expand("experiment=table3_components", "experiment.point=full", "name=mine")
    assert one.config.name == "mine/full"


def test_seeds_multiply_the_points() -> None:
    found = expand("experiment=cross_domain", "seed=0,1,2")
    assert [point.config.name for point in found] == [f"cross_domain/online_dpo,seed={seed}" for seed in range(3)]


def test_a_plus_before_a_scale_is_taken_as_well() -> None:
    assert expand("experiment=cross_domain", "+scale=cpu")[0].config.name == "cross_domain_cpu/online_dpo"


def test_a_misspelt_point_is_named_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match=r"no point 'ful'; did you mean full\?"):
        expand("experiment=table3_components", "experiment.point=ful")
    with pytest.raises(ConfigError, match=r"scale=cpu is for experiments: add experiment="):
        border.load(["scale=cpu"])


def test_points_that_one_model_makes_alike_run_once(expanded: dict[tuple[str, str], list[Point]]) -> None:
    assert alike(expanded["table2_supervisor", "cpu"]) == {
        "table2_supervisor_cpu/gpt_4_offline_dpo": "table2_supervisor_cpu/qwen2_72b_offline_dpo",
        "table2_supervisor_cpu/gpt_4_online_dpo": "table2_supervisor_cpu/qwen2_72b_online_dpo",
    }
    assert alike(expanded["table2_supervisor", ""]) == {}


ABLATED = {
    "without_back_translation": "cross_verify",
    "without_quality_verification": "verify_responses",
    "without_cross_verification": "write_verifiers",
    "without_any_quality_process": "write_verifiers",
}
"""Point of table 3 → the last stage that it shares with the full pipeline on the way to its training data."""


def test_ablations_share_every_stage_before_the_one_they_change(
    expanded: dict[tuple[str, str], list[Point]], tmp_path: Path
) -> None:
    found = expanded["table3_components", "cpu"]
    store = Store(tmp_path)
    graphs = {
        str(point.config.experiment.point): {
            stage.title: stage.entry(store).fingerprint for stage in build(point.config)
        }
        for point in found
    }
    full = graphs.pop("full")
    order = list(full)
    for name, last in ABLATED.items():
        graph = graphs[name]
        before = order[: order.index(last) + 1]
        shared = [title for title in before if title in graph]
        assert shared == before
        assert all(graph[title] == full[title] for title in shared)
        assert graph["heldout_prompts"] == full["heldout_prompts"]
        assert graph["answer_heldout_base"] == full["answer_heldout_base"]
        assert graph["train_sft"] != full["train_sft"]
    distinct = {mark for graph in (full, *graphs.values()) for mark in graph.values()}
    every = len(full) + sum(map(len, graphs.values()))
    assert len(distinct) <= every - sum(order.index(last) + 1 for last in ABLATED.values())


def test_a_baseline_that_another_points_base_measures_is_no_run_of_its_own(
    expanded: dict[tuple[str, str], list[Point]],
) -> None:
    assert not alike(expanded["table1_main", ""])
    same = alike(expanded["table1_main", "cpu"])
    assert same["table1_main_cpu/mistral_7b"] == same["table1_main_cpu/mixtral_8x22b"]


def test_a_model_as_it_is_needs_no_training() -> None:
    config = border.load(["algorithm=none", "model=mistral_7b", "evaluation=paper", "evaluation.heldout.limit=0"])
    names = [stage.name for stage in build(config)]
    assert "answer_ifeval" in names
    assert names[-2:] == ["results", "comparisons"]
    assert not {"train_sft", "self_instruct", "respond", "contamination"} & set(names)


def test_a_table_is_written_of_what_is_there_however_little(tmp_path: Path) -> None:
    cfg, _ = border.compose_any(
        [
            "experiment=table3_components",
            "scale=cpu",
            "task=report",
            f"paths.store={tmp_path}/store",
            f"paths.runs={tmp_path}/runs",
        ],
        multirun=False,
    )
    assert sweep.run(cfg, typed=False) == 0
    assert (tmp_path / "runs/table3_components_cpu/table.md").exists()
    assert "experiment.point=full" in (tmp_path / "runs/table3_components_cpu/table.md").read_text()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_online_points_train_online(expanded: dict[tuple[str, str], list[Point]], name: str) -> None:
    for point in expanded[name, "cpu"]:
        if "online" in str(point.config.experiment.point):
            assert isinstance(point.config.algorithm, OnlineDpoAlgorithm | GrpoAlgorithm)


def test_a_point_without_its_data_is_left_out_at_a_smaller_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []
    monkeypatch.setattr(process, "run_in_child", lambda config: ran.append(config.experiment.point))
    chosen = ["experiment=table1_main", "scale=cpu", "experiment.point=qwen2_7b_sharegpt,qwen2_7b_online_dpo"]
    places = [f"paths.store={tmp_path}/store", f"paths.runs={tmp_path}/runs"]
    cfg, _ = border.compose_any([*chosen, *places], multirun=False)
    assert sweep.run(cfg, typed=False) == 0
    assert ran == ["qwen2_7b_online_dpo"]
    printed = capsys.readouterr().out
    assert "table1_main_cpu/qwen2_7b_sharegpt is left out: data.path is not set" in printed
    alone, _ = border.compose_any([*chosen[:2], "experiment.point=qwen2_7b_sharegpt", *places], multirun=False)
    sweep.run(alone, typed=False)
    assert ran == ["qwen2_7b_online_dpo", "qwen2_7b_sharegpt"], "asked for alone it is started, and says what it lacks"
