"""What a point's job is given: the profile's resources, what was typed on top, and how it is told that time is up."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoif import slurm_array, sweep
from autoif.border import compose_any, load
from autoif.points import points
from autoif.slurm_array import parameters


def test_a_job_asks_for_what_its_profile_says() -> None:
    hardware = load(["hardware=slurm_h800x64", "algorithm=sft", "hardware.slurm.account=lab"]).hardware
    given = parameters(hardware, {})
    assert (given["nodes"], given["ntasks_per_node"], given["cpus_per_task"], given["gres"]) == (8, 1, 64, "gpu:8")
    assert (given["time"], given["mem"], given["account"]) == (24 * 60, "0", "lab")
    assert given["use_srun"] is False
    assert given["additional_parameters"] == {"signal": "B:USR2@180", "requeue": True}


def test_what_is_typed_for_the_launcher_wins() -> None:
    hardware = load(["hardware=slurm_cpu"]).hardware
    typed = {"timeout_min": 30, "partition": "debug", "mem_gb": 16, "additional_parameters": {"nice": 10}}
    given = parameters(hardware, typed)
    assert (given["time"], given["partition"], given["mem"]) == (30, "debug", "16GB")
    assert given["additional_parameters"]["nice"] == 10
    assert given["additional_parameters"]["requeue"]


def test_the_launcher_is_told_what_stands_on_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = {}

    def run_array(todo: object, folder: Path, typed: dict[str, object]) -> list[str | None]:
        seen.update(typed=typed, folder=folder)
        return [None, "no room"]

    monkeypatch.setattr(slurm_array, "run_array", run_array)
    typed = [
        "hydra.launcher.partition=debug",
        "+hydra.launcher.additional_parameters.nice=10",
        f"paths.runs={tmp_path}",
    ]
    cfg, _ = compose_any(["hardware=slurm_cpu", "seed=1,2", *typed], multirun=True)
    failed = sweep.launch(cfg, points(cfg))
    assert [(point.config.name, reason) for point, reason in failed] == [("demo/seed=2", "no room")]
    assert seen == {
        "typed": {"partition": "debug", "additional_parameters": {"nice": 10}},
        "folder": tmp_path / "demo/slurm",
    }


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_slurm_profile_can_be_run_without_slurm(launcher: str) -> None:
    cfg, _ = compose_any(["hardware=slurm_cpu", f"hydra/launcher={launcher}", "seed=1,2"], multirun=True)
    assert not cfg.hydra.launcher._target_.endswith("SlurmLauncher")
