"""The training part of a plan: what fits where, the change it would need, and amounts that follow from the data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from autoif.border import CONF, load
from autoif.config import HardwareConfig, ModelConfig, RunConfig, Strategy, TrainingConfig
from autoif.pipeline import build
from autoif.planning.memory import training_memory
from autoif.planning.options import shipped
from autoif.planning.shape import forward_flops
from autoif.planning.show import show
from autoif.planning.stages import plan
from autoif.planning.training import TrainingRow, remedy, training_rows
from autoif.records import Message, SftExample, encode
from autoif.store import Manifest, Store

PAPER = ["pipeline=paper", "evaluation=none", "supervisor=gpt_4"]
LENGTH = 8192


def rows(config: RunConfig, store: Path) -> dict[str, TrainingRow]:
    stages = build(config)
    found = training_rows(config, stages, plan(stages, Store(store)), Store(store))
    return {row.title: row for row in found}


def paper(model: str, hardware: str, *more: str) -> RunConfig:
    return load([*PAPER, f"model={model}", f"hardware={hardware}", "algorithm=offline_dpo", *more])


def test_the_documented_table_is_what_the_plan_says() -> None:
    models, hardware = shipped("model", ModelConfig), shipped("hardware", HardwareConfig)
    table = (CONF.parent / "docs/hardware.md").read_text().partition("(GB a device):\n\n")[2].partition("\n\n")[0]
    header, _, *lines = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()]
    written = {(line[0], profile): cell for line in lines for profile, cell in zip(header[1:], line[1:], strict=True)}
    known = {name for name, model in models.items() if model.shape.layers and not name.endswith("instruct")}
    assert {name for name, _ in written} == known
    for (name, profile), cell in written.items():
        machine = hardware[profile]
        memory = training_memory(models[name].shape, machine, machine.micro_batch_size * LENGTH)
        verdict = "fits" if memory.total <= machine.memory_gb else "no"
        assert cell == f"{memory.total:.1f}, {verdict}", (name, profile)


def test_the_papers_models_fit_the_papers_hardware(tmp_path: Path) -> None:
    pairs = {"qwen2_7b": "a100x8", "llama3_8b": "a100x8", "qwen2_72b": "h800x64", "llama3_70b": "h800x64"}
    for model, hardware in pairs.items():
        for row in rows(paper(model, hardware), tmp_path).values():
            assert row.fits, (model, row.title)


def test_what_does_not_fit_says_why_and_a_change_that_holds(tmp_path: Path) -> None:
    config = paper("qwen2_7b", "one_gpu")
    row = rows(config, tmp_path)["train_sft"]
    assert row.fits is False
    assert row.binding[0] == "weights, gradients and optimizer states"
    assert row.change == "hardware.strategy=zero3 hardware.devices=4"
    mended = paper("qwen2_7b", "one_gpu", *row.change.split())
    assert rows(mended, tmp_path)["train_sft"].fits
    text = show(config, build(config), Store(tmp_path))
    assert f"It fits with {row.change}" in text


def test_the_cheapest_change_comes_first() -> None:
    shape = shipped("model", ModelConfig)["llama3_8b"].shape
    eager = dataclasses.replace(shipped("hardware", HardwareConfig)["a100x8"], activation_checkpointing=False)
    training = TrainingConfig(max_length=LENGTH)
    assert remedy(shape, eager, training, 1) == "hardware.activation_checkpointing=true"
    wide = dataclasses.replace(eager, activation_checkpointing=True, micro_batch_size=16)
    assert remedy(shape, wide, training, 1) == "hardware.micro_batch_size=1"
    small = HardwareConfig(name="x", strategy=Strategy.single, memory_gb=1)
    assert remedy(shape, small, training, 1) == f"a max_length below {LENGTH}, or devices with more memory"


def test_offload_counts_the_nodes_memory() -> None:
    shape = shipped("model", ModelConfig)["qwen2_72b"].shape
    node = dataclasses.replace(shipped("hardware", HardwareConfig)["a100x8"], memory_gb=141, host_memory_gb=1500)
    changed = remedy(shape, node, TrainingConfig(max_length=LENGTH), 1)
    assert changed == "hardware.offload_optimizer=true (and 1163 GB of memory on each node)"
    assert "nodes" in remedy(shape, dataclasses.replace(node, host_memory_gb=1000), TrainingConfig(), 1)


def test_hours_are_operations_over_the_stated_speed(tmp_path: Path) -> None:
    config = paper("qwen2_7b", "a100x8")
    row = rows(config, tmp_path)["train_sft"]
    assert row.hours is not None
    per_token = row.hours * 3600 * 0.4 * 312e12 * 8 / row.tokens
    length = row.tokens / row.rows / 3
    assert per_token == pytest.approx(3 * forward_flops(config.model.shape, int(length)), rel=0.01)
    # The usual estimate, six operations a weight and token, leaves attention out.
    assert per_token == pytest.approx(6 * config.model.parameters, rel=0.1)
    assert row.gpu_hours == 8 * row.hours


def test_a_finished_dataset_tells_its_own_lengths(tmp_path: Path) -> None:
    config = paper("qwen2_7b", "a100x8")
    store = Store(tmp_path)
    bound = rows(config, tmp_path)["train_sft"]
    dataset = next(stage for stage in build(config) if stage.name == "sft_dataset")
    entry = dataset.entry(store)
    said = (Message(role="user", content="q" * 400), Message(role="assistant", content="a" * 800))
    example = SftExample(id="1", messages=said, instruction="", functions=(), accuracy=1.0)
    line = encode(example) + b"\n"
    entry.path.mkdir(parents=True)
    entry.records_path.write_bytes(line * 1000)
    entry.commit(
        Manifest(
            stage="sft_dataset",
            fingerprint=entry.fingerprint,
            key=entry.key,
            inputs=1000,
            kept=1000,
            rejected={},
            records_bytes=1000 * len(line),
            sha256="",
            seconds=0,
        )
    )
    known = rows(config, tmp_path)["train_sft"]
    assert (known.rows, known.steps) == (1000, 3 * 8)
    assert 3 * 1000 * 300 <= known.tokens <= 3 * 1000 * 400
    assert known.tokens < bound.tokens


def test_a_model_of_unknown_shape_is_planned_without_memory(tmp_path: Path) -> None:
    config = paper("qwen2_7b", "a100x8", "model.shape.layers=0")
    row = rows(config, tmp_path)["train_sft"]
    assert (row.memory, row.fits, row.hours) == (None, None, None)
    assert "memory and hours are not known: set model.shape" in show(config, build(config), Store(tmp_path))
