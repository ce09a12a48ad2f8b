"""What a plan says a run still needs, and how much memory training states take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autoif import requirements as module
from autoif.border import load
from autoif.config import HardwareConfig, Precision, RunConfig, Strategy
from autoif.planning.memory import states_gb
from autoif.requirements import requirements

SEVEN_BILLION = 7 * 10**9


@pytest.mark.parametrize(
    ("strategy", "precision", "offload", "bytes_each"),
    [
        (Strategy.single, Precision.fp32, False, 16),
        (Strategy.ddp, Precision.bf16, False, 16),
        (Strategy.zero1, Precision.bf16, False, 6 + 12 / 8),
        (Strategy.zero2, Precision.bf16, False, 2 + 16 / 8),
        (Strategy.zero3, Precision.bf16, False, 18 / 8),
        (Strategy.zero3, Precision.bf16, True, 2 / 8),
    ],
)
def test_training_states_follow_the_zero_papers_arithmetic(
    strategy: Strategy, precision: Precision, offload: bool, bytes_each: float
) -> None:
    devices = 1 if strategy is Strategy.single else 8
    hardware = HardwareConfig(
        name="x", devices=devices, strategy=strategy, precision=precision, offload_optimizer=offload
    )
    *held, host = states_gb(SEVEN_BILLION, hardware)
    assert sum(held) == pytest.approx(7 * bytes_each)
    assert host == pytest.approx(7 * 16 if offload else 0)


@pytest.fixture(scope="module")
def paper() -> RunConfig:
    return load(["pipeline=paper", "model=qwen2_7b", "hardware=one_gpu", "algorithm=sft", "supervisor=gpt_4"])


def texts(config: RunConfig) -> str:
    return "\n".join(need.text for need in requirements(config))


def test_a_model_too_large_for_its_device_is_said_before_anything_runs(
    paper: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_gpus", lambda: True)
    assert "training qwen2_7b takes 122 GB on each device before activations" in texts(paper)
    eight = replace(paper.hardware, devices=8, strategy=Strategy.zero3)
    assert "GB on each device" not in texts(replace(paper, hardware=eight))


def test_devices_that_are_not_there_are_asked_for(paper: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_gpus", lambda: False)
    assert "hardware=one_gpu computes on 1 GPU(s)" in texts(paper)


def test_a_key_is_asked_for_only_where_no_server_is_named(paper: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert "OPENAI_API_KEY holds no key" in texts(paper)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert "secret" not in texts(paper)
    assert "OPENAI_API_KEY" not in texts(paper)
    monkeypatch.delenv("OPENAI_API_KEY")
    server = replace(paper.supervisor, base_url="http://127.0.0.1:8000/v1")  # type: ignore[type-var]
    assert "OPENAI_API_KEY" not in texts(replace(paper, supervisor=server))


def test_missing_files_are_asked_for_and_present_ones_are_not(paper: RunConfig, tmp_path: Path) -> None:
    assert "pipeline.queries.path is not set" in texts(paper)
    dump = tmp_path / "sharegpt.json"
    queries = replace(paper.pipeline.queries, path=str(dump))
    config = replace(paper, pipeline=replace(paper.pipeline, queries=queries))
    assert f"ShareGPT dump {dump} is missing" in texts(config)
    dump.write_text("[]")
    assert "ShareGPT" not in texts(config)


def test_a_benchmark_folder_is_asked_for_unless_it_may_be_left_out(paper: RunConfig) -> None:
    strict = replace(paper.evaluation, data_dir="/none", only_with_data=False)
    assert "benchmark folder /none is missing" in texts(replace(paper, evaluation=strict))
    assert "/none" not in texts(replace(paper, evaluation=replace(strict, only_with_data=True)))
