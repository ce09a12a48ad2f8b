"""``task=doctor`` describes this machine quickly, says why profiles would not run, shows no key and never breaks."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_command import HEAVY, command, imported

from autoif.border import CONF, load
from autoif.config import HardwareConfig, ModelConfig
from autoif.doctor.machine import PACKAGES, Gpu, Machine
from autoif.doctor.profiles import profiles
from autoif.hints import options_of
from autoif.planning.options import shipped

BARE = Machine(
    system="Linux",
    python="3.11",
    cores=8,
    memory_gb=64,
    gpus=(),
    gpu_problem="",
    cuda="13.0",
    packages=dict.fromkeys(PACKAGES, "1"),
    compilers={},
    prebuilt=(),
    slurm=False,
    slurm_nodes=0,
)
A100 = Gpu("NVIDIA A100-SXM4-80GB", 85.9, 8.0, "580")
T4 = Gpu("Tesla T4", 16.1, 7.5, "580")


def verdicts(**changes: object) -> dict[str, str]:
    return {profile.name: profile.reason for profile in profiles(dataclasses.replace(BARE, **changes))}  # type: ignore[arg-type]


def test_a_bare_machine_runs_what_needs_no_gpu() -> None:
    found = verdicts()
    assert not found["cpu"]
    assert found["one_gpu"] == "needs 1 GPU; this machine shows none"
    assert found["a100x8"] == "needs 8 GPUs; this machine shows none"
    assert found["slurm_a100x8"] == "no Slurm here (sbatch is not found)"


def test_eight_large_gpus_run_a_node_but_not_eight_nodes() -> None:
    found = verdicts(gpus=(A100,) * 8)
    assert not found["one_gpu"]
    assert not found["a100x8"]
    assert found["h800x64"].startswith("spans 8 nodes")
    assert not verdicts(gpus=(A100,) * 8, slurm_nodes=8)["h800x64"]


def test_what_a_gpu_lacks_is_said() -> None:
    reason = verdicts(gpus=(T4,))["one_gpu"]
    assert "is made for 80 GB a GPU; the smallest here has 16" in reason
    assert "bf16 needs GPUs from Ampere on" in reason
    assert "this machine has 2" in verdicts(gpus=(A100,) * 2)["a100x8"]
    assert "torch is built for CPUs" in verdicts(gpus=(A100,), cuda="")["one_gpu"]


def test_what_is_not_installed_is_said_with_how_to_get_it() -> None:
    found = verdicts(gpus=(A100,) * 8, packages={**BARE.packages, "deepspeed": None})
    assert found["a100x8"] == "DeepSpeed is not installed (pip install 'autoif[gpu]')"
    assert not found["one_gpu"]
    assert "hydra-submitit-launcher" in verdicts(slurm=True, packages={"torch": "1", "lightning": "1"})["slurm_cpu"]


def test_slurm_profiles_need_only_slurm() -> None:
    found = verdicts(slurm=True)
    assert [name for name, reason in found.items() if name.startswith("slurm_") and reason] == []


def test_the_models_that_a_profile_trains_are_those_that_fit() -> None:
    found = {profile.name: profile.models for profile in profiles(BARE)}
    assert {"qwen2_7b", "llama3_8b"} <= set(found["a100x8"])
    assert "qwen2_72b_instruct" not in found["a100x8"]
    assert {"qwen2_72b_instruct", "llama3_70b_instruct"} <= set(found["h800x64"])
    assert "qwen2_7b" not in found["one_gpu"]


def test_options_read_alone_are_what_hydra_composes() -> None:
    for name, model in shipped("model", ModelConfig).items():
        assert model == load([f"model={name}"]).model
    read = shipped("hardware", HardwareConfig)
    assert list(read) == options_of(CONF / "hardware")
    for name in ("cpu", "slurm_a100x8", "slurm_h800x64"):
        assert read[name] == load([f"hardware={name}", "algorithm=sft"]).hardware


def test_the_doctor_takes_less_than_five_seconds_and_imports_nothing_heavy(tmp_path: Path) -> None:
    ran = command(tmp_path, "task=doctor", flags=("-X", "importtime"))
    assert ran.code == 0
    for word in ("GPUs", "isolation", "hub", "benchmarks", "keys", "slurm_a100x8", "compilers"):
        assert word in ran.out
    assert ran.seconds < 5.0
    assert not imported(ran.err) & (HEAVY - {"numpy"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("driver", ["exit 9", "echo garbage; echo ,,,; echo 1,2,3,4,5,6", "sleep 20"])
def test_nothing_it_finds_makes_it_fall_over_and_no_key_is_shown(tmp_path: Path, driver: str) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{driver}\n")
    tool.chmod(0o755)
    secret = "sk-not-to-be-shown"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "OPENAI_API_KEY": secret}
    environment |= {"SLURM_JOB_NUM_NODES": "many", "AUTOIF_DATA_DIR": "/none"}
    ran = subprocess.run(
        [sys.executable, str(CONF.parent / "run.py"), "task=doctor", "task.json=true"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stderr == ""
    found = json.loads(ran.stdout)
    assert found["keys"]["OPENAI_API_KEY"] is True
    assert secret not in ran.stdout
    assert {profile["name"] for profile in found["profiles"]} == set(options_of(CONF / "hardware"))
    assert all(found["benchmarks"][name] for name in ("ifeval", "gsm8k"))
