"""The key-value cache and the attention of batched decoding.

Rows live in fixed slots of preallocated buffers and all end at the same column, so a step writes one column; a new
row is copied into a freed slot, left-padded, without touching the others. Columns that only finished rows used drop
out of the view.

A decoding step attends with the query heads of a key-value group side by side as queries: the same numbers as
repeating keys and values for each query head, without the copies.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, Cache
from transformers.cache_utils import CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "autoif_decode"
"""Name under which the attention function is registered with ``transformers``."""

GROWTH = 128
"""Columns a full buffer grows by."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> Any:
    """Scaled dot-product attention, grouped without repeating keys and values when one position is decoded.

    Shapes: ``query`` (batch, heads, positions, dim), ``key`` and ``value`` (batch, key-value heads, columns, dim).
    """
    batch, heads, positions, dim = query.shape
    groups = key.shape[1]
    if positions != 1 or groups == heads or options.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    attended = torch.nn.functional.scaled_dot_product_attention(
        query.view(batch, groups, heads // groups, dim),
        key,
        value,
        attn_mask=attention_mask,
        scale=options.get("scaling"),
    )
    return attended.reshape(batch, 1, heads, value.shape[-1]), None


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


class _Layer(CacheLayerMixin):
    """One layer's buffers, shape (slots, key-value heads, columns, dim); the view is set by the owner."""

    is_sliding = False

    def __init__(self, owner: SlotCache) -> None:
        super().__init__()
        self._owner = owner

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Buffers are made by the owner."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one column and return the view up to it."""
        owner = self._owner
        assert self.keys is not None
        assert self.values is not None
        self.keys[: owner.slots, :, owner.end] = key_states[:, :, 0]
        self.values[: owner.slots, :, owner.end] = value_states[:, :, 0]
        view = (slice(0, owner.slots), slice(None), slice(owner.start, owner.end + 1))
        return self.keys[view], self.values[view]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns the step sees, and the offset of the first."""
        return self._owner.end - self._owner.start + query_length, 0

    def get_seq_length(self) -> int:
        """Columns before the step."""
        return self._owner.end - self._owner.start

    def get_max_length(self) -> int:
        """None set."""
        return -1


class SlotCache(Cache):
    """Keys and values of up to ``slots`` rows that all end at column ``end`` of their buffers.

    ``mask`` (slots, columns) is True where a column belongs to the row in that slot.
    """

    def __init__(self, layers: int, device: torch.device) -> None:
        super().__init__(layers=[_Layer(self) for _ in range(layers)])
        self.slots = self.start = self.end = 0
        self._device = device
        self.mask = torch.zeros(0, 0, dtype=torch.bool, device=device)

    def view(self) -> torch.Tensor:
        """Mask of the step: the columns so far and the one that it writes, shape (slots, columns)."""
        return self.mask[: self.slots, self.start : self.end + 1]

    def open_column(self, longest: int) -> None:
        """Make room for one more column; the view shrinks to the ``longest`` row that is still decoded."""
        self.start = max(self.start, self.end - longest)
        if self.end == self.mask.shape[1]:
            self._rebuild(list(range(self.slots)), self.end - self.start)
        self.mask[:, self.end] = True

    def close_column(self) -> None:
        """The step has written its column."""
        self.end += 1

    def keep(self, slots: list[int]) -> None:
        """Drop all rows but those in ``slots``, which move to the front in that order."""
        self._rebuild(slots, self.end - self.start)

    def insert(self, slots: list[int], sources: list[int], lengths: list[int], filled: Cache) -> None:
        """Copy rows of a prefilled cache into ``slots``.

        ``sources``: the row of ``filled`` for each slot; ``lengths``: its real columns, the last ones.
        """
        columns = filled.layers[0].keys.shape[2]
        rows = max(self.slots, max(slots) + 1)
        if self.end < columns or rows > self.mask.shape[0]:
            self._like(filled)
            self._rebuild(list(range(self.slots)), max(columns, self.end - self.start), rows)
        self.slots = rows
        self.start = min(self.start, self.end - columns)
        at = torch.tensor(slots, device=self._device)
        source = torch.tensor(sources, device=self._device)
        for layer, new in zip(self.layers, filled.layers, strict=True):
            layer.keys[at, :, self.end - columns : self.end] = new.keys[source]
            layer.values[at, :, self.end - columns : self.end] = new.values[source]
        column = torch.arange(self.mask.shape[1], device=self._device)
        first = self.end - torch.tensor(lengths, device=self._device)
        self.mask[at] = (column >= first[:, None]) & (column < self.end)

    def _like(self, filled: Cache) -> None:
        """Empty buffers of the right shape, the first time."""
        for layer, new in zip(self.layers, filled.layers, strict=True):
            if layer.keys is None:
                layer.keys, layer.values = (x.new_empty(0, x.shape[1], 0, x.shape[3]) for x in (new.keys, new.values))
                layer.is_initialized = True

    def _rebuild(self, slots: list[int], columns: int, rows: int | None = None) -> None:
        """New buffers that hold ``slots``' view at the end of ``columns`` columns, with room to grow."""
        rows = rows or len(slots)
        used = self.end - self.start
        capacity = columns + GROWTH
        source = torch.tensor(slots, dtype=torch.long, device=self._device)

        def moved(old: torch.Tensor, axis: int) -> torch.Tensor:
            shape = list(old.shape)
            shape[0], shape[axis] = rows, capacity
            # Zeros, not garbage: a masked column still enters the weighted sum, and 0 · NaN would be NaN.
            new = old.new_zeros(shape)
            if slots and used:
                target = new.narrow(0, 0, len(slots)).narrow(axis, columns - used, used)
                target.copy_(old.narrow(axis, self.start, used).index_select(0, source))
            return new

        for layer in self.layers:
            layer.keys, layer.values = moved(layer.keys, 2), moved(layer.values, 2)
        self.mask = moved(self.mask, 1)
        self.start, self.end, self.slots = columns - used, columns, len(slots)
