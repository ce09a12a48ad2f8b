"""How training processes are started: torchrun on a node, srun across nodes. The training process turns itself into
these commands, and ``task=plan launch=…`` prints them. Never imports torch.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoif.config import HardwareConfig
from autoif.errors import EngineError

STEP = "AUTOIF_STEP"
"""Set for the tasks that our srun starts, one on each node: they turn into torchrun."""

PORTS = 20000
"""Rendezvous ports are PORTS + job id modulo PORTS: jobs that share a node seldom share one."""


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Where the processes of several nodes meet, and which node this is."""

    node: str
    address: str
    port: str


IN_SHELL = Rendezvous("$SLURM_NODEID", "$MASTER_ADDR", "$MASTER_PORT")
"""As a job script writes it."""


def torchrun(hardware: HardwareConfig, job: str, at: Rendezvous | None) -> list[str]:
    """The command that becomes one process for each device of a node; ``at`` is None on a single node."""
    if at is None:
        where = ["--standalone"]
    else:
        where = [f"--node-rank={at.node}", f"--master-addr={at.address}", f"--master-port={at.port}"]
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nnodes={hardware.nodes}",
        f"--nproc-per-node={hardware.devices}",
        *where,
        *training(job),
    ]


def training(job: str) -> list[str]:
    """The module that every process runs, and its job file."""
    return ["-m", "autoif.training.main", job]


def srun(hardware: HardwareConfig) -> list[str]:
    """One task on each node of the allocation; all end when one fails. ``--overlap``: a step of the same job that
    waits for this one may hold the devices."""
    tasks = [f"--nodes={hardware.nodes}", f"--ntasks={hardware.nodes}", "--ntasks-per-node=1"]
    return ["srun", *tasks, "--kill-on-bad-exit=1", "--overlap", "--unbuffered"]


def start(hardware: HardwareConfig, job: str, environment: Mapping[str, str]) -> list[str] | None:
    """What a training process that is not yet one of torchrun's turns itself into; None: it trains by itself.

    Raises:
        EngineError: when there is nothing that says where the other nodes are.
    """
    if hardware.world == 1 or "RANK" in environment:
        return None
    if hardware.nodes == 1:
        return torchrun(hardware, job, None)
    if "SLURM_JOB_ID" in environment and STEP not in environment and "NODE_RANK" not in environment:
        _enough(hardware, environment)
        return [*srun(hardware), sys.executable, *training(job)]
    return torchrun(hardware, job, rendezvous(hardware, environment))


def rendezvous(hardware: HardwareConfig, environment: Mapping[str, str]) -> Rendezvous:
    """From ``MASTER_ADDR``, ``MASTER_PORT`` and ``NODE_RANK``; inside a Slurm job from its variables."""
    node = environment.get("NODE_RANK") or environment.get("SLURM_NODEID")
    address = environment.get("MASTER_ADDR") or _first_host(environment)
    if not node or not address:
        raise EngineError(
            f"hardware={hardware.name} spans {hardware.nodes} nodes: start it inside a Slurm allocation, or set "
            "MASTER_ADDR, MASTER_PORT and NODE_RANK and start it on each node"
        )
    port = environment.get("MASTER_PORT") or str(PORTS + int(environment.get("SLURM_JOB_ID", "9500")) % PORTS)
    return Rendezvous(node, address, port)


def _enough(hardware: HardwareConfig, environment: Mapping[str, str]) -> None:
    given = environment.get("SLURM_JOB_NUM_NODES") or environment.get("SLURM_NNODES") or "1"
    if int(given) < hardware.nodes:
        raise EngineError(
            f"hardware={hardware.name} spans {hardware.nodes} nodes and this Slurm job has {given}: "
            "ask for more, or set hardware.nodes"
        )


def _first_host(environment: Mapping[str, str]) -> str:
    """The first node of the allocation."""
    nodes = environment.get("SLURM_JOB_NODELIST") or environment.get("SLURM_NODELIST")
    if not nodes:
        return ""
    return _run(["scontrol", "show", "hostnames", nodes]).partition("\n")[0]


def _run(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ}).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
