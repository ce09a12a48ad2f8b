"""The fp32 weights that training changes, where DeepSpeed computes with 16-bit copies of them.

The engine makes its masters from those copies and shows only them as parameters. A model that goes through several
trainings (SFT, then rounds of DPO) would be rounded to bf16 each time, and lose every change below half of bf16's
spacing: most of what a short run at a small rate does. So masters are read for the export, and set from an fp32 start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def whole(parameter: Tensor, sharded: bool) -> Tensor:
    """A parameter as the optimizer knows it, whole, in its own shape; all processes call it for each in the same order.

    Args:
        sharded: its parts lie on several processes (ZeRO-3).
    """
    if parameter.element_size() < 4:
        from deepspeed.utils import safe_get_full_fp32_param  # type: ignore[import-untyped]

        master: Tensor | None = safe_get_full_fp32_param(parameter)
        if master is not None:
            return master.detach()
    if not sharded:
        return parameter.detach()
    import deepspeed  # type: ignore[import-untyped]

    with deepspeed.zero.GatheredParameters([parameter]):
        return parameter.detach().clone()


def start_from(model: Any, folder: Path) -> None:
    """Set DeepSpeed's masters of ``model`` to the weights in ``folder`` that are stored in fp32; one tensor in memory
    at a time. The 16-bit copies are theirs already."""
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_local_fp32_param

    parameters = dict(model.named_parameters())
    for name, value in _stored(folder):
        parameter = parameters.get(name)
        if parameter is None or value.dtype is not torch.float32 or parameter.element_size() == 4:
            continue
        if not hasattr(parameter, "ds_id"):
            safe_set_full_fp32_param(parameter, value)
            continue
        size = parameter.ds_tensor.numel()  # of this process's part; the last one is padded
        first = size * torch.distributed.get_rank()
        part = value.flatten()[first : first + size]
        safe_set_local_fp32_param(parameter, torch.cat([part, part.new_zeros(size - len(part))]))


def _stored(folder: Path) -> Iterator[tuple[str, Tensor]]:
    from safetensors import safe_open

    with ExitStack() as stack:
        for path in sorted(folder.glob("*.safetensors")):
            file = stack.enter_context(safe_open(path, framework="pt"))
            for name in file.keys():  # noqa: SIM118 - not a mapping
                yield name, file.get_tensor(name)
