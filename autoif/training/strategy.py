"""``hardware`` to Lightning: the one place that knows strategies, precision plugins and what they do to a loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from autoif.config import Accelerator, HardwareConfig, Precision, Strategy
from autoif.errors import EngineError, MissingExtraError

_ZERO_STAGE = {Strategy.zero1: 1, Strategy.zero2: 2, Strategy.zero3: 3}


def is_deepspeed(hardware: HardwareConfig) -> bool:
    """Whether the DeepSpeed engine runs the step."""
    return hardware.strategy in _ZERO_STAGE


def loss_scale(hardware: HardwareConfig, accumulation: int) -> float:
    """What a micro-batch's loss (already its share of the global mean) is multiplied by, so that gradients come out
    exact after everything that divides: Lightning divides by the accumulation count; data parallelism averages over
    processes; DeepSpeed's engine divides by the accumulation count once more.
    """
    world = hardware.devices * hardware.nodes
    return float(accumulation * world * (accumulation if is_deepspeed(hardware) else 1))


def precision(hardware: HardwareConfig) -> Literal["bf16-mixed", "32-true"]:
    """Lightning's name for it: fp32 weights always, bf16 arithmetic where asked."""
    return "bf16-mixed" if hardware.precision is Precision.bf16 else "32-true"


def deepspeed_config(hardware: HardwareConfig, clip_norm: float) -> dict[str, Any]:
    """The DeepSpeed configuration. Accumulation is set by Lightning, the optimizer by the loop.

    Gradients accumulate in fp32 (the default would be the model's dtype), RoPE's frequencies stay fp32 (rounded to
    bf16 they are off by radians at position 2 000), and ``sub_group_size`` bounds the optimizer's working copy.
    """
    zero: dict[str, Any] = {"stage": _ZERO_STAGE[hardware.strategy], "contiguous_gradients": True}
    zero |= {"overlap_comm": hardware.accelerator is Accelerator.gpu, "reduce_bucket_size": 200_000_000}
    if zero["stage"] == 3:
        zero |= {
            "sub_group_size": 1_000_000_000,
            "stage3_prefetch_bucket_size": 50_000_000,
            "stage3_param_persistence_threshold": 100_000,
            "stage3_max_live_parameters": 1_000_000_000,
            "stage3_max_reuse_distance": 1_000_000_000,
            "stage3_gather_16bit_weights_on_model_save": False,
        }
        if hardware.nodes > 1:
            zero["zero_hpz_partition_size"] = hardware.devices
    if hardware.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": hardware.accelerator is Accelerator.gpu}
    return {
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "gradient_clipping": clip_norm,
        "train_micro_batch_size_per_gpu": 1,
        "data_types": {"grad_accum_dtype": "fp32", "keep_in_fp32_modules": ["inv_freq"]},
    }


def make_strategy(hardware: HardwareConfig, clip_norm: float) -> Any:
    """The Lightning strategy.

    Raises:
        MissingExtraError: when DeepSpeed is wanted and not installed.
        EngineError: when strategy and number of processes contradict each other.
    """
    world = hardware.devices * hardware.nodes
    cpu = hardware.accelerator is Accelerator.cpu
    if is_deepspeed(hardware):
        return _deepspeed(hardware, clip_norm)
    if hardware.strategy is Strategy.ddp:
        from lightning.pytorch.strategies import DDPStrategy

        return DDPStrategy(process_group_backend="gloo" if cpu else "nccl", gradient_as_bucket_view=True)
    if world > 1:
        raise EngineError(f"hardware.strategy=single runs one process, not {world}: set ddp or zero1, zero2, zero3")
    return "auto"


def _deepspeed(hardware: HardwareConfig, clip_norm: float) -> Any:
    try:
        import deepspeed  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        raise MissingExtraError("deepspeed", "deepspeed") from None
    from lightning.pytorch.strategies import DeepSpeedStrategy

    config = deepspeed_config(hardware, clip_norm)
    if hardware.accelerator is Accelerator.cpu:
        from autoif.training.deepspeed_cpu import CpuDeepSpeedStrategy

        return CpuDeepSpeedStrategy(config=config)
    return DeepSpeedStrategy(config=config)


@contextmanager
def loading(running: Any) -> Iterator[None]:
    """What has to stand while a model is loaded under the strategy ``running``: with ZeRO-3, transformers must know
    the DeepSpeed configuration, or it fills shards that are not there yet."""
    config = getattr(running, "config", None)
    if not isinstance(config, dict) or config.get("zero_optimization", {}).get("stage") != 3:
        yield
        return
    from transformers.integrations import HfDeepSpeedConfig

    known = HfDeepSpeedConfig(config)  # transformers keeps a weak reference
    yield
    del known
