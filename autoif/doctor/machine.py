"""What a machine has, found without loading a driver or a framework. No probe raises: what cannot be told says why."""

from __future__ import annotations

import ast
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TypeVar

PACKAGES = (
    *("torch", "transformers", "lightning", "deepspeed", "flash-attn", "liger-kernel", "vllm", "lm-eval", "datasets"),
    *("openai", "wandb", "hydra-joblib-launcher", "hydra-submitit-launcher"),
)
COMPILERS = ("gcc", "g++", "ninja", "nvcc")
COMMAND_SECONDS = 3.0


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device as its driver describes it. ``memory_gb``: GB of 10⁹ bytes. ``capability``: of NVIDIA's compute."""

    name: str
    memory_gb: float
    capability: float
    driver: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine. ``gpu_problem``: why GPUs could not be listed, empty when they could. ``cuda``: what torch was built
    for, empty for a CPU build. ``prebuilt``: DeepSpeed's compiled operations. ``slurm``: sbatch is there;
    ``slurm_nodes``: nodes of the job that this runs in, 0 outside one."""

    system: str
    python: str
    cores: int
    memory_gb: float
    gpus: tuple[Gpu, ...]
    gpu_problem: str
    cuda: str
    packages: dict[str, str | None]
    compilers: dict[str, str | None]
    prebuilt: tuple[str, ...]
    slurm: bool
    slurm_nodes: int


def probe() -> Machine:
    """Look at this machine."""
    gpus, problem = _gpus()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=guarded(_memory_gb, 0.0),
        gpus=gpus,
        gpu_problem=problem,
        cuda=guarded(_cuda, ""),
        packages={name: _version(name) for name in PACKAGES},
        compilers={name: shutil.which(name) for name in COMPILERS},
        prebuilt=guarded(_prebuilt, ()),
        slurm=shutil.which("sbatch") is not None,
        slurm_nodes=int(guarded(lambda: int(os.environ.get("SLURM_JOB_NUM_NODES", "0")), 0)),
    )


def guarded(look: Callable[[], T], otherwise: T) -> T:
    """What ``look`` finds, or ``otherwise`` when it cannot."""
    try:
        return look()
    except Exception:  # a doctor does not fall ill of what it finds
        return otherwise


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except Exception:  # a broken installation has metadata that cannot be read
        return None


def _gpus() -> tuple[tuple[Gpu, ...], str]:
    """GPUs and why there may be more than these."""
    command = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,compute_cap,driver_version",
        "--format=csv,noheader,nounits",
    ]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except FileNotFoundError:
        seen = any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists() or Path("/dev/dxg").exists()
        return (), "a GPU is there, but no nvidia-smi that describes it" if seen else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        return (), f"nvidia-smi does not answer ({type(error).__name__})"
    if asked.returncode:
        return (), f"nvidia-smi: {' '.join((asked.stdout or asked.stderr).split())[:160]}"
    found = []
    for line in asked.stdout.splitlines():
        name, memory, capability, driver = [*(part.strip() for part in line.split(",")), "", "", "", ""][:4]
        if name:
            found.append(Gpu(name, _number(memory) * 2**20 / 1e9, _number(capability), driver))
    return tuple(found), ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _cuda() -> str:
    """From torch's own version file; importing torch takes seconds."""
    spec = util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return ""
    text = Path(spec.submodule_search_locations[0], "version.py").read_text()
    found = re.search(r"^cuda.*= *'([^']+)'", text, re.MULTILINE)
    return found[1] if found else ""


def _prebuilt() -> tuple[str, ...]:
    """DeepSpeed's operations that were compiled when it was installed; others are when they are first used."""
    spec = util.find_spec("deepspeed")
    if spec is None or not spec.submodule_search_locations:
        return ()
    text = Path(spec.submodule_search_locations[0], "git_version_info_installed.py").read_text()
    found = re.search(r"^installed_ops *= *(\{.*?\})", text, re.MULTILINE | re.DOTALL)
    return tuple(sorted(name for name, there in ast.literal_eval(found[1]).items() if there)) if found else ()
