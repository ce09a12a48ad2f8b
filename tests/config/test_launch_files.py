"""``task=plan launch=…``: what starts a run elsewhere is complete, accepted by its readers, and what a launch uses."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoif.border import load
from autoif.config import HardwareConfig, RunConfig
from autoif.errors import EngineError
from autoif.pipeline import build
from autoif.planning.launching import full_deepspeed_config, launch_files
from autoif.store import Store
from autoif.tasks import dispatch
from autoif.training.commands import STEP, rendezvous, start
from autoif.training.slurm import resources
from autoif.training.strategy import deepspeed_config

POINTS = {"qwen2_7b": "a100x8", "qwen2_72b": "h800x64"}


def configured(model: str, *more: str) -> RunConfig:
    chosen = [f"model={model}", f"hardware={POINTS[model]}", "algorithm=offline_dpo", "supervisor=gpt_4"]
    return load([*chosen, "pipeline=paper", "evaluation=none", "task=plan", *more])


@pytest.fixture(scope="module", params=POINTS)
def files(request: pytest.FixtureRequest) -> dict[str, str]:
    config = configured(request.param)
    typed = [f"model={request.param}", "name='a b'", "task=plan", "launch=write"]
    return launch_files(config, build(config), Store(Path("store")), typed)


def test_every_training_stage_has_its_files(files: dict[str, str]) -> None:
    for stage in ("train_sft", "train_dpo"):
        assert {f"{stage}.deepspeed.json", f"{stage}.sbatch"} <= set(files)
    assert ("train_sft.sh" in files) == ("--nodes=1\n" in files["run.sbatch"])


def test_bash_reads_every_script(files: dict[str, str]) -> None:
    for name, text in files.items():
        if not name.endswith(".json"):
            checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
            assert checked.returncode == 0, f"{name}: {checked.stderr}"


def test_the_whole_runs_script_runs_what_was_typed(files: dict[str, str]) -> None:
    line = next(line for line in files["run.sbatch"].splitlines() if "run.py" in line)
    arguments = shlex.split(line.removesuffix(" &"))[2:]
    assert arguments[1:] == ["name='a b'"]
    assert not any(argument.startswith(("task=", "launch=")) for argument in arguments)


def test_deepspeed_accepts_its_configuration(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    from deepspeed.runtime.config import DeepSpeedConfig

    for name in ("train_sft", "train_dpo"):
        settings = json.loads(files[f"{name}.deepspeed.json"])
        read = DeepSpeedConfig(dict(settings))
        assert read.zero_optimization_stage == 3
        assert read.gradient_accumulation_steps == settings["gradient_accumulation_steps"]
        assert read.bfloat16_config.enabled


@pytest.mark.parametrize("model", POINTS)
def test_the_printed_configuration_is_what_lightning_makes_of_ours(model: str) -> None:
    from lightning.pytorch.plugins.precision import DeepSpeedPrecision

    from autoif.training.deepspeed_cpu import CpuDeepSpeedStrategy

    config = configured(model)
    training = config.algorithm.sft
    printed = full_deepspeed_config(config.hardware, training, answers=1)
    strategy: Any = CpuDeepSpeedStrategy(config=deepspeed_config(config.hardware, training.clip_norm))
    strategy.precision_plugin = DeepSpeedPrecision("bf16-mixed")
    steps = printed["gradient_accumulation_steps"]
    strategy._lightning_module = SimpleNamespace(trainer=SimpleNamespace(accumulate_grad_batches=steps))
    strategy._format_config()
    assert strategy.config == printed


def test_nodes_meet_at_the_first_one_of_the_job() -> None:
    large = configured("qwen2_72b").hardware
    environment = {"SLURM_JOB_ID": "41234", "SLURM_NODEID": "3", "MASTER_ADDR": "node1", "SLURM_JOB_NUM_NODES": "8"}
    outer = start(large, "job.json", environment)
    assert outer is not None
    assert outer[:4] == ["srun", "--nodes=8", "--ntasks=8", "--ntasks-per-node=1"]
    assert outer[-4:] == [sys.executable, "-m", "autoif.training.main", "job.json"]
    inner = start(large, "job.json", {**environment, STEP: "1"})
    assert inner is not None
    assert {"--nnodes=8", "--nproc-per-node=8", "--node-rank=3"} < set(inner)
    assert {"--master-addr=node1", "--master-port=21234"} < set(inner)
    assert start(large, "job.json", {**environment, STEP: "1", "RANK": "5"}) is None


def test_a_script_and_the_launch_write_the_same_command() -> None:
    config = configured("qwen2_72b")
    files = launch_files(config, build(config), Store(Path("store")), [])
    script = files["train_sft.sbatch"]
    last = shlex.split(script.strip().splitlines()[-1])
    job = last[-1].split()[-1]
    environment = {"SLURM_NODEID": "$SLURM_NODEID", "MASTER_ADDR": "$MASTER_ADDR", "MASTER_PORT": "$MASTER_PORT"}
    real = start(config.hardware, job, {**environment, STEP: "1"})
    assert shlex.split(last[-1]) == real
    outer = start(config.hardware, job, {"SLURM_JOB_ID": "1", "SLURM_JOB_NUM_NODES": "8"})
    assert outer is not None
    assert last[1 : last.index("bash")] == outer[: outer.index(sys.executable)]


def test_a_launch_without_its_nodes_says_what_is_missing() -> None:
    large = configured("qwen2_72b").hardware
    with pytest.raises(EngineError, match="spans 8 nodes: start it inside a Slurm allocation"):
        rendezvous(large, {})
    with pytest.raises(EngineError, match="this Slurm job has 2"):
        start(large, "job.json", {"SLURM_JOB_ID": "1", "SLURM_JOB_NUM_NODES": "2"})


def test_one_device_needs_no_launcher_and_one_node_no_meeting() -> None:
    assert start(HardwareConfig(name="x"), "job.json", {}) is None
    command = start(HardwareConfig(name="x", devices=4), "job.json", {"SLURM_JOB_ID": "1"})
    assert command is not None
    assert "--standalone" in command


def test_slurm_is_asked_for_what_the_profile_says() -> None:
    asked = resources(load(["hardware=h800x64", "algorithm=sft", "hardware.slurm.partition=big"]).hardware)
    assert asked == {
        "nodes": "8",
        "ntasks-per-node": "1",
        "cpus-per-task": "64",
        "mem": "0",
        "time": "24:00:00",
        "gres": "gpu:8",
        "partition": "big",
    }
    small = resources(load(["hardware.slurm.hours=0.5", "hardware.slurm.memory_gb=16"]).hardware)
    assert (small["time"], small["mem"], "gres" in small) == ("00:30:00", "15259M", False)


def test_written_files_lie_beside_the_run_and_can_be_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured("qwen2_7b", "launch=write", f"paths.runs={tmp_path}", f"paths.store={tmp_path}/store")
    dispatch(config, ["model=qwen2_7b"])
    folder = tmp_path / "demo/launch"
    assert f"Written:\n  {folder}/run.sbatch" in capsys.readouterr().out
    assert shutil.which(str(folder / "train_sft.sh"))
    assert json.loads((folder / "train_sft.deepspeed.json").read_text())["zero_optimization"]["stage"] == 3
