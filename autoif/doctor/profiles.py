"""Which hardware profiles would run on a machine, why not, and which models they would train here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autoif.config import Accelerator, HardwareConfig, ModelConfig, Precision
from autoif.doctor.machine import Machine
from autoif.planning.memory import ZERO, training_memory
from autoif.planning.options import shipped
from autoif.planning.shape import shape_of
from autoif.planning.training import available_gb

BF16_CAPABILITY = 8.0
"""NVIDIA GPUs from Ampere on compute in bf16 and run the flash kernels."""

SPARE = 0.95
"""A GPU sold with 80 GB shows a little less."""

SFT_LENGTH = 8192
"""Tokens of the longest row in the paper's SFT."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A shipped profile. ``reason``: why it would not run here, empty when it would. ``models``: those that it trains
    whole, at the paper's length, in its memory."""

    name: str
    reason: str
    models: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Whether it would run here."""
        return not self.reason


def profiles(machine: Machine) -> list[Profile]:
    """A verdict for each shipped profile."""
    models = list(shipped("model", ModelConfig).values())
    return [
        Profile(name, "; ".join(obstacles(hardware, machine)), _trains(hardware, models))
        for name, hardware in shipped("hardware", HardwareConfig).items()
    ]


def obstacles(hardware: HardwareConfig, machine: Machine) -> Iterator[str]:
    """What keeps ``hardware`` from running on ``machine``."""
    for package in ("torch", "lightning"):
        if machine.packages.get(package) is None:
            yield f"{package} is not installed (pip install 'autoif[train]')"
    if hardware.strategy in ZERO and machine.packages.get("deepspeed") is None:
        yield "DeepSpeed is not installed (pip install 'autoif[gpu]')"
    if hardware.name.startswith("slurm_"):
        if not machine.slurm and not machine.slurm_nodes:
            yield "no Slurm here (sbatch is not found)"
        elif machine.packages.get("hydra-submitit-launcher") is None:
            yield "hydra-submitit-launcher is not installed (pip install 'autoif[sweep]')"
        return  # its jobs run on other machines
    if hardware.nodes > 1 and machine.slurm_nodes < hardware.nodes:
        yield f"spans {hardware.nodes} nodes: start it in a Slurm job of as many, or use a slurm_ profile"
    if hardware.accelerator is Accelerator.gpu:
        yield from _gpu_obstacles(hardware, machine)


def _gpu_obstacles(hardware: HardwareConfig, machine: Machine) -> Iterator[str]:
    wanted = f"{hardware.devices} GPU{'s' if hardware.devices > 1 else ''}"
    if not machine.gpus:
        yield f"needs {wanted}; " + (machine.gpu_problem or "this machine shows none")
        return
    if len(machine.gpus) < hardware.devices:
        yield f"needs {wanted}; this machine has {len(machine.gpus)}"
    smallest = min(gpu.memory_gb for gpu in machine.gpus)
    if smallest < SPARE * hardware.memory_gb:
        yield f"is made for {hardware.memory_gb:g} GB a GPU; the smallest here has {smallest:.0f}"
    if hardware.precision is Precision.bf16 and min(gpu.capability for gpu in machine.gpus) < BF16_CAPABILITY:
        yield "bf16 needs GPUs from Ampere on: set hardware.precision=fp32"
    if machine.packages.get("torch") and not machine.cuda:
        yield "torch is built for CPUs: install its CUDA build"


def _trains(hardware: HardwareConfig, models: list[ModelConfig]) -> tuple[str, ...]:
    room = available_gb(hardware)
    fits = []
    for model in models:
        shape = shape_of(model)
        length = hardware.micro_batch_size * min(SFT_LENGTH, model.context_length)
        if shape and training_memory(shape, hardware, length).total <= room:
            fits.append(model.name)
    return tuple(dict.fromkeys(fits))
