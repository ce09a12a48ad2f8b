"""Attention over packed sequences: each token sees its own sequence alone, and no padding is computed.

Registered with transformers under :data:`PACKED`. On CUDA with 16-bit tensors one variable-length flash kernel does
all sequences; elsewhere scaled-dot-product attention runs sequence by sequence, which costs little because all other
layers work on the whole pack. A sequence may share a prefix that stands earlier in the pack (a pair's prompt): its
keys and values are read from there, so only attention itself is computed twice.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import msgspec
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

PACKED = "autoif_packed"


class Segments(msgspec.Struct, frozen=True, eq=False):
    """Layout of a pack of N tokens.

    ``lengths``: tokens of each piece, in the pack's order. ``rows[i]``: the pieces that sequence i consists of;
    ``own[i]``: how many of its last tokens are its own (the others were computed with an earlier sequence).
    """

    lengths: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    own: tuple[int, ...]
    gather: Tensor | None = None
    """CUDA only: [M] flat indices of all sequences, shared pieces repeated."""
    keep: Tensor | None = None
    """CUDA only: [N] which of those M outputs are the pack's tokens."""
    bounds: Tensor | None = None
    """CUDA only: [S + 1] cumulative lengths, int32."""

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence, shared ones included."""
        return max(sum(self.lengths[piece] for piece in row) for row in self.rows)

    @property
    def shared(self) -> bool:
        """Whether any sequence begins with another one's tokens."""
        return sum(len(row) for row in self.rows) > len(self.lengths)

    def to(self, device: torch.device) -> Segments:
        """The layout for ``device``; index tensors are only needed by the CUDA kernel."""
        return self.indexed(device) if device.type == "cuda" else self

    def indexed(self, device: torch.device) -> Segments:
        """The layout with its index tensors, on ``device``."""
        starts = [0, *accumulate(self.lengths)]
        gather: list[int] = []
        keep: list[int] = []
        bounds = [0]
        for row, own in zip(self.rows, self.own, strict=True):
            for piece in row:
                gather += range(starts[piece], starts[piece + 1])
            keep += range(len(gather) - own, len(gather))
            bounds.append(len(gather))
        return msgspec.structs.replace(
            self,
            gather=torch.tensor(gather, device=device),
            keep=torch.tensor(keep, device=device),
            bounds=torch.tensor(bounds, dtype=torch.int32, device=device),
        )


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    segments: Segments,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside each sequence.

    Args:
        query: [1, heads, N, size]; key, value: [1, key heads, N, size].
        segments: the layout of the N tokens.

    Returns:
        [1, N, heads, size] and None (no attention weights).
    """
    if query.is_cuda:
        if torch.is_autocast_enabled("cuda"):
            # Rotary embeddings of fp32 hidden states are fp32; autocast knows SDPA, but not the variable-length kernel.
            dtype = torch.get_autocast_dtype("cuda")
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        if query.dtype in (torch.float16, torch.bfloat16):
            return _flash(query, key, value, segments, scaling), None
    # One split for all sequences: its backward is one concatenation, slices would each fill a buffer of N tokens.
    pieces = [tensor.split(segments.lengths, dim=2) for tensor in (query, key, value)]
    outputs = []
    for row, own in zip(segments.rows, segments.own, strict=True):
        if own:
            q, k, v = (parts[row[0]] if len(row) == 1 else torch.cat([parts[i] for i in row], 2) for parts in pieces)
            out = scaled_dot_product_attention(q, k, v, None, dropout, is_causal=True, scale=scaling, enable_gqa=True)
            outputs.append(out[:, :, -own:])
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def _flash(query: Tensor, key: Tensor, value: Tensor, segments: Segments, scaling: float | None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    assert segments.gather is not None
    assert segments.keep is not None
    assert segments.bounds is not None
    shared = segments.shared
    q, k, v = (t[0].transpose(0, 1) for t in (query, key, value))
    if shared:
        q, k, v = q[segments.gather], k[segments.gather], v[segments.gather]
    longest, bounds = segments.longest, segments.bounds
    out = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=True)
    assert isinstance(out, Tensor)
    return (out[segments.keep] if shared else out).unsqueeze(0)


def register() -> None:
    """Make :data:`PACKED` known to transformers. It takes no mask, so none is built."""
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED, packed_attention)
