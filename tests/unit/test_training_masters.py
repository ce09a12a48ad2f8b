"""Parts of stored weights, as sharded strategies cut them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from autoif.training.masters import _fp32, _span


@pytest.mark.parametrize("shape", [(7,), (7, 5), (2, 3, 4), (1, 1)])
@pytest.mark.parametrize("processes", [1, 2, 3, 4, 9])
def test_the_parts_of_all_processes_are_the_whole_tensor(
    tmp_path: Path, shape: tuple[int, ...], processes: int
) -> None:
    whole = torch.arange(float(math.prod(shape)))
    save_file({"weight": whole.view(shape)}, tmp_path / "model.safetensors")
    size = -(-len(whole) // processes)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        parts = [_span(file.get_slice("weight"), size * rank, size) for rank in range(processes)]
    assert all(len(part) <= size for part in parts)
    assert torch.equal(torch.cat(parts), whole)


def test_only_what_is_stored_in_fp32_is_read(tmp_path: Path) -> None:
    save_file(
        {"fine": torch.ones(2), "coarse": torch.ones(2).bfloat16()}, tmp_path / "model-00001-of-00002.safetensors"
    )
    save_file({"more": torch.ones(2)}, tmp_path / "model-00002-of-00002.safetensors")
    assert [name for name, _ in _fp32(tmp_path)] == ["fine", "more"]
