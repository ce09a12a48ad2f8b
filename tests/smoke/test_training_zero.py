"""DeepSpeed's real ZeRO engine on two CPU processes: same losses and weights as one process, killed and resumed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from training_tiny import dpo_job, sft_job, tiny_model

from autoif.border import load
from autoif.config import HardwareConfig, Precision, Strategy
from autoif.errors import EngineError
from autoif.records import TrainStep, read_records
from autoif.training.job import Job
from autoif.training.launch import launch
from autoif.training.run import run
from autoif.training.strategy import deepspeed_config, loss_scale, precision

needs_deepspeed = pytest.mark.skipif(
    sys.platform != "linux" or find_spec("deepspeed") is None or not (shutil.which("g++") and find_spec("ninja")),
    reason="DeepSpeed compiles its CPU communication on first use: needs deepspeed, ninja and g++ on Linux",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


def two_processes(job: Job, strategy: Strategy) -> Job:
    """The job on the shipped profile, with the micro-batch of the job."""
    hardware = load(["hardware=cpu_zero3"]).hardware
    hardware = replace(hardware, strategy=strategy, micro_batch_size=job.hardware.micro_batch_size)
    return msgspec.structs.replace(job, hardware=hardware)


def kill_in_the_middle(job: Job, rows: int) -> None:
    """Start the job, kill torchrun with SIGKILL once ``rows`` steps are done; its workers must follow."""
    caught: list[BaseException] = []

    def follow() -> None:
        try:
            list(launch(job, {}))
        except EngineError as error:
            caught.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    end = time.monotonic() + 300
    while not job.curve.exists() or job.curve.read_bytes().count(b"\n") < rows:
        assert thread.is_alive(), caught
        assert time.monotonic() < end
        time.sleep(0.005)
    for pid in processes(str(Path(job.work) / "job.json"), "torch.distributed.run"):
        os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert "killed" in str(caught[0])
    while processes(str(Path(job.work) / "job.json"), "autoif.training.main"):
        assert time.monotonic() < end
        time.sleep(0.05)


def processes(*words: str) -> list[int]:
    """Processes whose command line holds all ``words``."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and all(w.encode() in (folder / "cmdline").read_bytes() for w in words):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@needs_deepspeed
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda f, s, **k: dpo_job(f, s, s, **k), id="dpo"),
        pytest.param(sft_job, id="sft", marks=pytest.mark.slow),
    ],
)
def test_zero_3_killed_and_resumed_equals_one_process(make: Any, base: Path, tmp_path: Path) -> None:
    settings = {"rows": 10, "micro": 1, "epochs": 8, "save_every": 4, "learning_rate": 1e-3}
    alone = make(tmp_path / "alone", base, **settings)
    run(alone)
    job = two_processes(make(tmp_path / "two", base, **settings), Strategy.zero3)
    kill_in_the_middle(job, 6)
    facts: dict[str, Any] = {}
    rows = list(launch(job, facts))
    assert facts["resumed_from_step"] >= 4
    assert facts["processes"] == 2
    wanted = list(read_records(alone.curve, TrainStep))
    assert [r.step for r in rows] == [r.step for r in wanted]
    assert [r.tokens for r in rows] == [r.tokens for r in wanted]
    assert [r.loss for r in rows] == pytest.approx([r.loss for r in wanted], rel=1e-3)
    assert [r.grad_norm for r in rows] == pytest.approx([r.grad_norm for r in wanted], rel=1e-2)
    ours, theirs = (load_file(Path(j.output) / "model.safetensors") for j in (job, alone))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], atol=1e-3), name


@needs_deepspeed
@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(Strategy.zero1, marks=pytest.mark.slow),
        pytest.param(Strategy.zero2, marks=pytest.mark.slow),
        Strategy.zero3,
    ],
)
def test_bf16_training_goes_on_from_fp32_weights_and_leaves_fp32_weights(
    strategy: Strategy, base: Path, tmp_path: Path
) -> None:
    """Rounded to bf16 before or after a short training, most of what it does would be lost."""
    job = two_processes(sft_job(tmp_path, base, rows=4, epochs=1, learning_rate=1e-9), strategy)
    job = msgspec.structs.replace(job, hardware=replace(job.hardware, precision=Precision.bf16))
    list(launch(job, {}))
    start, end = (load_file(Path(folder) / "model.safetensors") for folder in (base, job.output))
    assert start.keys() == end.keys()
    for name, value in end.items():
        assert value.dtype is torch.float32
        assert torch.allclose(value, start[name], rtol=0, atol=1e-7), name
        assert not torch.equal(value, start[name].bfloat16().float()) or bool((start[name] == 1).all()), name


def hardware(**changes: Any) -> HardwareConfig:
    return HardwareConfig(name="test", **changes)


def test_what_divides_a_loss_is_undone_once_for_each_divider() -> None:
    assert loss_scale(hardware(), 4) == 4
    assert loss_scale(hardware(devices=2, strategy=Strategy.ddp), 4) == 8
    assert loss_scale(hardware(devices=8, nodes=8, strategy=Strategy.zero3), 2) == 2 * 2 * 64


def test_the_deepspeed_configuration_avoids_the_known_traps() -> None:
    config = deepspeed_config(hardware(devices=8, nodes=8, strategy=Strategy.zero3, precision=Precision.bf16), 1.0)
    assert "gradient_accumulation_steps" not in config  # Lightning sets it, and refuses another
    assert config["data_types"] == {"grad_accum_dtype": "fp32", "keep_in_fp32_modules": ["inv_freq"]}
    assert config["zero_optimization"]["sub_group_size"] <= 1_000_000_000
    assert config["zero_optimization"]["zero_hpz_partition_size"] == 8
    assert config["gradient_clipping"] == 1.0
    assert precision(hardware(precision=Precision.bf16)) == "bf16-mixed"
    one_node = deepspeed_config(hardware(devices=8, strategy=Strategy.zero2, offload_optimizer=True), 1.0)
    assert one_node["zero_optimization"]["stage"] == 2
    assert one_node["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert "zero_hpz_partition_size" not in one_node["zero_optimization"]
