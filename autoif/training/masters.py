"""The fp32 weights that training changes, where DeepSpeed computes with 16-bit copies of them.

The engine makes its masters from those copies and shows only them as parameters. A model that goes through several
trainings (SFT, then rounds of DPO) would be rounded to bf16 each time, and lose every change below half of bf16's
spacing: most of what a short run at a small rate does. So masters are read for the export, and set from an fp32 start.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def whole(parameter: Tensor, deepspeed: bool) -> Tensor:
    """A parameter as the optimizer knows it, in fp32 and in its own shape, gathered where it is sharded; all processes
    call it for each parameter in the same order."""
    if not deepspeed:
        return parameter.detach()
    from deepspeed.utils import safe_get_full_fp32_param  # type: ignore[import-untyped]

    master: Tensor = safe_get_full_fp32_param(parameter)
    return master.detach()


def start_from(model: Any, folder: Path) -> None:
    """Set DeepSpeed's masters of ``model`` to the weights in ``folder`` that are stored in fp32. The 16-bit copies are
    theirs already. One tensor is in memory at a time, and of sharded ones only the rows of this process."""
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_local_fp32_param

    parameters = dict(model.named_parameters())
    for name, stored in _fp32(folder):
        parameter = parameters.get(name)
        if parameter is None or parameter.element_size() == 4:
            continue
        if not hasattr(parameter, "ds_id"):
            safe_set_full_fp32_param(parameter, stored[:])
            continue
        size = parameter.ds_tensor.numel()
        part = _span(stored, size * torch.distributed.get_rank(), size)
        safe_set_local_fp32_param(parameter, torch.cat([part, part.new_zeros(size - len(part))]))  # the last is padded


def _fp32(folder: Path) -> Iterator[tuple[str, Any]]:
    """Name and slice (nothing is read yet) of each tensor that is stored in fp32."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                stored = file.get_slice(name)
                if stored.get_dtype() == "F32":
                    yield name, stored


def _span(stored: Any, first: int, size: int) -> Tensor:
    """Up to ``size`` values from the flat index ``first`` on: [≤ size]."""
    rows, *rest = stored.get_shape()
    width = math.prod(rest)
    if first >= rows * width:
        return torch.zeros(0)
    read: Tensor = stored[first // width : min(rows, -(-(first + size) // width))]
    return read.flatten()[first % width :][:size]
