"""How much memory a training process takes on its device at its peak, term by term, before anything is loaded.

Weights, gradients and optimizer states follow the ZeRO paper (Rajbhandari et al., arXiv 1910.02054) and what DeepSpeed
and Lightning keep under our configuration (``autoif/training/strategy.py``): fp32 master weights and fp32 gradient
accumulation. Activations are the tensors that backward needs, counted layer by layer for attention that stores no
scores; tests compare them with what autograd saves, and the sum with the resident memory of a real run.
GB are 10⁹ bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from autoif.config import Accelerator, HardwareConfig, Precision, ShapeConfig, Strategy
from autoif.planning.shape import layer_parameters, parameters

ZERO = {Strategy.zero1: 1, Strategy.zero2: 2, Strategy.zero3: 3}

MAX_LOGITS = 1 << 27
"""Logits that are held at once; the same as in ``autoif/training/losses.py``, which imports torch."""

BUCKET = 200_000_000
"""Gradient entries that DeepSpeed reduces at once."""

LIVE = 1_000_000_000
"""Parameters that ZeRO-3 keeps gathered, and entries of the optimizer's working copy."""

PROCESS_GB = {Accelerator.cpu: 1.0, Accelerator.gpu: 2.0}
"""Libraries on a CPU; context, communication buffers and workspaces on a GPU."""


@dataclass(frozen=True, slots=True)
class Memory:
    """GB on one device at the peak of a training step.

    ``gathered``: weights that are there only while they are used (ZeRO-3's live and node-wide copies, autocast's 16-bit
    ones). ``logits``: the output layer's buffer and gradient. ``step``: the optimizer's working copies; they are needed
    after activations, logits and gathered weights are gone, so the larger of both counts. ``host``: GB of a node's own
    memory for offloaded states.
    """

    weights: float
    gradients: float
    optimizer: float
    gathered: float
    activations: float
    logits: float
    step: float
    process: float
    host: float = 0.0

    @property
    def states(self) -> float:
        """Weights, gradients and optimizer states."""
        return self.weights + self.gradients + self.optimizer

    @property
    def passing(self) -> float:
        """What forward and backward need besides the states."""
        return self.gathered + self.activations + self.logits

    @property
    def total(self) -> float:
        """The peak."""
        return self.process + self.states + max(self.passing, self.step)


def training_memory(shape: ShapeConfig, hardware: HardwareConfig, tokens: int) -> Memory:
    """The peak of a training process whose largest micro-batch has ``tokens`` tokens, all of them learnt."""
    count, zero = parameters(shape), ZERO.get(hardware.strategy, 0)
    weights, gradients, optimizer, host = states_gb(count, hardware)
    own_step = zero and not hardware.offload_optimizer
    return Memory(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        gathered=_gathered(shape, hardware, count, zero) / 1e9,
        activations=activations(shape, hardware, tokens) / 1e9,
        logits=_logits(shape, tokens, 4 if hardware.precision is Precision.fp32 else 2) / 1e9,
        step=(8 * min(LIVE, count / hardware.world) if own_step else 0) / 1e9,
        process=PROCESS_GB[hardware.accelerator],
        host=host,
    )


def states_gb(count: int, hardware: HardwareConfig) -> tuple[float, float, float, float]:
    """GB of ``count`` parameters' weights, gradients and optimizer states on a device, and of what is offloaded to a
    node. Without offload and sharding that is 16 bytes a parameter in fp32, and 18 where DeepSpeed computes on 16-bit
    weights beside fp32 masters."""
    zero, world = ZERO.get(hardware.strategy, 0), hardware.world
    weights, optimizer = (2.0, 12.0) if zero and hardware.precision is Precision.bf16 else (4.0, 8.0)
    gradients, host = 4.0, 0.0
    weights /= world if zero >= 3 else 1
    gradients /= world if zero >= 2 else 1
    optimizer /= world if zero >= 1 else 1
    if hardware.offload_optimizer:
        moved = gradients if zero >= 2 else 0.0
        host, gradients, optimizer = (optimizer + moved) * hardware.devices, gradients - moved, 0.0
    return count * weights / 1e9, count * gradients / 1e9, count * optimizer / 1e9, count * host / 1e9


def activations(shape: ShapeConfig, hardware: HardwareConfig, tokens: int) -> float:
    """Bytes that backward needs of ``tokens`` tokens, and the working set of one layer's backward."""
    wide = hardware.precision is Precision.fp32
    mixed = not wide and hardware.strategy not in ZERO  # autocast: the residual stream stays fp32
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    size = 4 if wide else 2
    # Both norms keep their input, its fp32 form and the result; then inputs of all projections, q, k, v and the
    # attention's output with its log-sum, and four of the MLP's inner tensors.
    stream = 24 if wide else 26 if mixed else 16
    layer = stream * shape.hidden + 4 * size * shape.intermediate + 3 * size * queries + 2 * size * keys
    layer += 4 * shape.heads + 8
    working = size * (2 * shape.intermediate + 2 * shape.hidden)
    kept = shape.layers * layer + working
    if hardware.activation_checkpointing:
        kept = shape.layers * (4 if wide or mixed else 2) * shape.hidden + layer + working
    return tokens * (kept + 12 * shape.hidden)


def _gathered(shape: ShapeConfig, hardware: HardwareConfig, count: int, zero: int) -> float:
    """Weights held only while they are used, and gradients until they are reduced."""
    if not zero:
        return 2.0 * count if hardware.precision is Precision.bf16 else 0.0
    size = 4 if hardware.precision is Precision.fp32 else 2
    largest = max(shape.vocabulary * shape.hidden, layer_parameters(shape))
    held: float = size * (min(count, BUCKET) * 2 + largest)
    if zero == 3:
        held += size * min(count, max(LIVE, largest))
        if hardware.nodes > 1:  # a second copy sharded over the node alone (hpZ), so that gathers stay inside it
            held += size * count / hardware.devices
    return held


def _logits(shape: ShapeConfig, tokens: int, size: int) -> float:
    """The logits in fp32 (and in the dtype of the product), and the output layer's gradient of a chunk and in all."""
    entries = tokens * shape.vocabulary
    buffer = min(entries, MAX_LOGITS) * (4 if size == 4 else 6)
    return buffer + size * shape.vocabulary * shape.hidden * (2 if entries > MAX_LOGITS else 1)
