"""The hardware group: where and how fast things run; never part of a fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    """Arithmetic of the training step, and of decoding."""

    fp32 = "fp32"
    bf16 = "bf16"

    @property
    def dtype(self) -> str:
        """What torch, transformers and vLLM call it."""
        return "bfloat16" if self is Precision.bf16 else "float32"


class GenerationEngine(Enum):
    """What samples from the model that is trained, and under evaluation: ``transformers`` on one device, ``vllm`` in
    this process, or ``vllm_server``, copies of the model on all devices of this machine."""

    transformers = "transformers"
    vllm = "vllm"
    vllm_server = "vllm_server"


@dataclass(kw_only=True, slots=True)
class SlurmConfig:
    """What a job asks a Slurm cluster for, besides nodes and devices.

    ``hours``: a job's time limit. ``cpus_per_device``: cores for each training process. ``memory_gb``: of a node, GB of
    10⁹ bytes, 0 for all of it. ``gres``: what the cluster calls a device (``gpu``, ``gpu:a100``; empty asks for none).
    ``setup``: shell lines before the command (modules, environments). ``requeues``: times a job that ran out of time is
    queued again; it goes on where it was. ``parallel``: points of a sweep that run at once.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    hours: float = 24.0
    cpus_per_device: int = 8
    memory_gb: float = 0.0
    gres: str = "gpu"
    setup: list[str] = field(default_factory=list)
    requeues: int = 10
    parallel: int = 8


@dataclass(kw_only=True, slots=True)
class Techniques:
    """What makes a training step cheaper. Each gives the losses of the plain path, up to rounding; a test shows it.

    ``packing``: sequences laid end to end instead of padded. ``share_prompt``: a prompt computed once for all its
    answers (needs ``packing``). ``label_logits``: logits only where a label is, in one buffer. ``compile``: the layers'
    MLPs and norms through ``torch.compile``. ``liger``: liger's kernels for norms, rotary embedding and MLP (GPUs).
    """

    packing: bool = True
    share_prompt: bool = True
    label_logits: bool = True
    compile: bool = False
    liger: bool = False


@dataclass(kw_only=True, slots=True)
class HardwareConfig:
    """Where and how fast things run; never part of a fingerprint.

    ``nodes`` of ``devices`` each. ``micro_batch_size``: sequences (pairs in DPO, in GRPO groups of as many answers)
    a device computes at once. ``generation_batch_size``: rows the ``transformers`` engine decodes together.
    ``generation_parallel``: devices that a copy of the model is cut over, with vLLM.
    ``threads``: CPU threads a process uses, 0 for all cores.

    For plans, GB of 10⁹ bytes: ``memory_gb`` of a device and ``host_memory_gb`` of a node (0: not known);
    ``peak_tflops``: dense arithmetic of a device at ``precision``, 10¹² operations a second (0: not known); ``mfu`` and
    ``generation_mfu``: the share of it that training and decoding are assumed to reach.
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
    generation_engine: GenerationEngine = GenerationEngine.transformers
    generation_batch_size: int = 32
    generation_parallel: int = 1
    threads: int = 0
    techniques: Techniques = field(default_factory=Techniques)
    memory_gb: float = 0.0
    host_memory_gb: float = 0.0
    peak_tflops: float = 0.0
    mfu: float = 0.4
    generation_mfu: float = 0.1
    slurm: SlurmConfig = field(default_factory=SlurmConfig)

    @property
    def world(self) -> int:
        """Number of devices in all, and of training processes."""
        return self.nodes * self.devices
