"""What a Slurm job is asked for and the scripts that queue one: the same for ``launch=…`` and for a sweep's jobs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoif.config import HardwareConfig
from autoif.training.commands import IN_SHELL, PORTS, srun, torchrun, training

GRACE_SECONDS = 180
"""How long before its time limit a job is told, so that it can be queued again."""


def resources(hardware: HardwareConfig) -> dict[str, str]:
    """sbatch options, without the leading dashes, for one job on ``hardware``."""
    slurm = hardware.slurm
    wanted = {
        "nodes": str(hardware.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(hardware.devices * slurm.cpus_per_device),
        "mem": f"{slurm.memory_gb * 1e9 / 2**20:.0f}M" if slurm.memory_gb else "0",
        "time": _time(slurm.hours),
    }
    if slurm.gres:
        wanted["gres"] = f"{slurm.gres}:{hardware.devices}"
    chosen = {
        "partition": slurm.partition,
        "account": slurm.account,
        "qos": slurm.qos,
        "constraint": slurm.constraint,
    }
    return wanted | {name: value for name, value in chosen.items() if value}


def _time(hours: float) -> str:
    minutes = max(1, round(hours * 60))
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def run_script(hardware: HardwareConfig, name: str, log: Path, work: Path, command: Sequence[str]) -> str:
    """A batch script for a whole run. It is told before its time is up and queues itself again; the run goes on from
    what is in the store."""
    body = [
        "# Out of time: queue it again. What is finished is kept, training goes on from its last checkpoint.",
        "again() {",
        f'  [ "${{SLURM_RESTART_COUNT:-0}}" -ge {hardware.slurm.requeues} ] || scontrol requeue "$SLURM_JOB_ID"',
        "}",
        "trap again USR1",
        f"{shlex.join(command)} &",
        "run=$!",
        'while kill -0 "$run" 2>/dev/null; do wait "$run" && code=0 || code=$?; done',
        'exit "$code"',
    ]
    more = {"signal": f"B:USR1@{GRACE_SECONDS}", "requeue": ""}
    return _script(hardware, name, log, work, more, body)


def training_script(hardware: HardwareConfig, name: str, log: Path, work: Path, job: str) -> str:
    """A batch script for one training job: torchrun on each node, meeting at the first one."""
    across = " ".join(srun(hardware))
    if hardware.world == 1:
        node = shlex.join([sys.executable, *training(job)])
    else:
        meeting = IN_SHELL if hardware.nodes > 1 else None
        node = " ".join(_shell(word) for word in torchrun(hardware, job, meeting))
    # Single quotes: the variables are those of each node.
    body = [f"exec {across} bash -c {shlex.quote(node)}"]
    return _script(hardware, name, log, work, {}, body)


def _shell(word: str) -> str:
    """A word in which shell variables stay variables."""
    return f'"{word}"' if "$" in word else shlex.quote(word)


def _script(
    hardware: HardwareConfig, name: str, log: Path, work: Path, more: Mapping[str, str], body: Sequence[str]
) -> str:
    options = {"job-name": name.replace("/", "-"), **resources(hardware), "output": str(log), "open-mode": "append"}
    lines = [
        f"#SBATCH --{key}={shlex.quote(value)}" if value else f"#SBATCH --{key}"
        for key, value in {**options, **more}.items()
    ]
    meeting: list[str] = []
    if hardware.nodes > 1:
        meeting = [
            'export MASTER_ADDR="${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}"',
            f'export MASTER_PORT="${{MASTER_PORT:-$(({PORTS} + SLURM_JOB_ID % {PORTS}))}}"',
        ]
    before = ["", "set -eo pipefail", f"cd {shlex.quote(str(work))}", *hardware.slurm.setup]
    return "\n".join(["#!/bin/bash", *lines, *before, *meeting, *body, ""])
