"""The plan of a sweep counts every stage once, names what it needs and stays quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from test_command import HEAVY, command, imported

from autoif.border import load
from autoif.config import RunConfig
from autoif.pipeline import build
from autoif.planning.generation import generation
from autoif.planning.stages import plan
from autoif.planning.sweep import plan_sweep, render_sweep
from autoif.store import Store


def point(name: str, *overrides: str) -> RunConfig:
    paper = ["pipeline=paper", "model=qwen2_7b", "hardware=a100x8", "evaluation=none", "paths.store=/none/store"]
    return load([f"name={name}", "supervisor=gpt_4", *paper, *overrides])


@pytest.fixture(scope="module")
def configs() -> list[RunConfig]:
    return [point("t/offline", "algorithm=offline_dpo"), point("t/online", "algorithm=online_dpo"), point("t/again")]


def test_what_points_share_is_counted_for_the_first(configs: list[RunConfig]) -> None:
    first, second, _ = found = plan_sweep(configs)
    prints = [{(s.name, s.entry(Store(Path("/none/store"))).fingerprint) for s in build(c)} for c in configs]
    assert sum(point.own.stages for point in found) == len(set().union(*prints))
    assert first.own.stages == first.alone.stages == len(prints[0])
    assert second.shared == len(prints[0] & prints[1])
    assert second.own.training < second.alone.training  # SFT is the first point's


def test_calls_tokens_and_hours_follow_from_the_stages(configs: list[RunConfig]) -> None:
    config = configs[0]
    stages = build(config)
    rows = plan(stages, Store(Path("/none/store")))
    loads = {row.title: generation(config, stage, row) for stage, row in zip(stages, rows, strict=True)}
    respond = next(row for row in rows if row.title == "respond")
    load_of = loads["respond"]
    assert load_of is not None
    assert load_of.output_tokens == respond.model_calls * config.pipeline.respond.max_tokens
    assert load_of.device_hours == 0  # answered elsewhere, for money
    assert loads["queries"] is None
    whole = plan_sweep([config])[0].own
    assert whole.calls == sum(row.model_calls for row in rows)
    assert whole.tokens == sum(one.input_tokens + one.output_tokens for one in loads.values() if one)


def test_money_follows_the_supervisors_prices(configs: list[RunConfig]) -> None:
    supervisor = dataclasses.replace(configs[0].supervisor, input_price=2.0, output_price=8.0)
    priced = plan_sweep([dataclasses.replace(configs[0], supervisor=supervisor)])[0].own
    assert priced.cost > 0
    assert priced.generating == 0


def test_models_of_ones_own_take_device_hours_instead() -> None:
    own = plan_sweep([point("t/own", "supervisor=qwen2_72b", "algorithm=sft")])[0].own
    assert own.cost == 0
    assert own.generating > own.training


def test_a_point_that_cannot_be_planned_does_not_hide_the_others(configs: list[RunConfig]) -> None:
    lost = load(["name=t/lost", "supervisor.path=/none/recording.jsonl"])
    text = render_sweep("t", plan_sweep([lost, *configs]))
    assert "t/lost cannot be planned: no recording at /none/recording.jsonl" in text
    assert "all, each stage once" in text


def test_what_does_not_fit_is_said_with_what_would(configs: list[RunConfig]) -> None:
    large = point("t/large", "model=qwen2_72b", "algorithm=sft")
    text = render_sweep("t", plan_sweep([large]))
    assert "train_sft needs 193 GB a device: it fits with hardware.nodes=8" in text


def test_table_one_plans_within_five_seconds_without_torch(tmp_path: Path) -> None:
    ran = command(tmp_path, "task=plan", "experiment=table1_main", flags=("-X", "importtime"))
    assert ran.code == 0
    assert "all, each stage once" in ran.out
    assert "a100x8: " in ran.out
    assert ran.seconds < 5.0
    assert not imported(ran.err) & (HEAVY - {"numpy"})
    assert not list(tmp_path.iterdir())


def test_a_plan_of_points_for_slurm_queues_nothing(tmp_path: Path) -> None:
    typed = ["-m", "task=plan", "hardware=slurm_cpu", "supervisor=gpt_4", "algorithm=sft_demo,offline_dpo_demo"]
    ran = command(tmp_path, *typed)
    assert ran.code == 0, ran.err
    assert ran.out.count("Plan of demo/algorithm=") == 2
    assert "all, each stage once" in ran.out
    assert not list(tmp_path.iterdir())


def test_without_slurm_a_sweep_for_it_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = command(tmp_path, "-m", "hardware=slurm_cpu", "supervisor=gpt_4", "seed=1,2")
    assert ran.code == 1
    assert ran.err.startswith("autoif: Slurm did not take the sweep: ")
    assert ran.err.count("\n") == 1
