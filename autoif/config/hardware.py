"""The hardware group: where and how fast things run; never part of a fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Accelerator(Enum):
    """What the training processes compute on."""

    cpu = "cpu"
    gpu = "gpu"


class Strategy(Enum):
    """How training is spread over devices."""

    single = "single"
    ddp = "ddp"
    zero1 = "zero1"
    zero2 = "zero2"
    zero3 = "zero3"


class Precision(Enum):
    """Arithmetic of the training step."""

    fp32 = "fp32"
    bf16 = "bf16"


@dataclass(kw_only=True, slots=True)
class HardwareConfig:
    """Where and how fast things run; never part of a fingerprint.

    ``micro_batch_size``: sequences (pairs in DPO) a device computes at once. ``generation_batch_size``: rows the
    ``transformers`` engine decodes together. ``threads``: CPU threads a process uses, 0 for all cores.
    """

    name: str = "???"
    accelerator: Accelerator = Accelerator.cpu
    devices: int = 1
    nodes: int = 1
    strategy: Strategy = Strategy.single
    precision: Precision = Precision.fp32
    micro_batch_size: int = 1
    activation_checkpointing: bool = False
    offload_optimizer: bool = False
    attention: str = "sdpa"
    generation_batch_size: int = 32
    memory_gb: float = 0.0
    threads: int = 0
