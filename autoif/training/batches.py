"""Micro-batches as tensors: packed end to end (default) or padded, with the positions that are learnt.

The last token of a sequence predicts nothing and is left out of the input. In packed pairs the prompt stands once,
before both answers; attention sees prompt + answer for each (:mod:`autoif.training.attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor

from autoif.training.attention import Segments
from autoif.training.chat import Encoded, EncodedPair


class MicroBatch(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a model computes at once; a struct, so that Lightning does not look inside.

    N: input tokens, L: learnt tokens, S: sequences (of pairs: chosen, rejected, chosen, …).
    ``input_ids``, ``position_ids``: [1, N] packed, [S, T] padded. ``where``: [L] flat index of the hidden state that
    predicts ``targets`` [L]; ``owner``: [L] the sequence it belongs to. ``segments``: packed layout, else
    ``attention_mask`` [S, T]. ``step_learnt``, ``step_rows``: learnt tokens and rows of the whole global batch.
    """

    ids: tuple[str, ...]
    indices: tuple[int, ...]
    input_ids: Tensor
    position_ids: Tensor
    where: Tensor
    targets: Tensor
    owner: Tensor
    sequences: int
    tokens: int
    segments: Segments | None = None
    attention_mask: Tensor | None = None
    step_learnt: int = 1
    step_rows: int = 1

    def to(self, device: torch.device) -> MicroBatch:
        """A copy on ``device``; Lightning calls this."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name in ("input_ids", "position_ids", "where", "targets", "owner", "attention_mask")
            if isinstance(value := getattr(self, name), Tensor)
        }
        return msgspec.structs.replace(self, **moved, segments=self.segments.to(device) if self.segments else None)


@dataclass(frozen=True, slots=True)
class _Row:
    """One sequence of the layout: ``shared`` tokens stand at ``prefix`` already, ``own`` follow here."""

    own: Sequence[int]
    position: int
    prefix: tuple[int, int] | None
    learnt: list[tuple[int, int]]
    """(index into own, −1 for the last shared token; target token)."""


def sft_batch(ids: Sequence[str], rows: Sequence[Encoded], indices: Sequence[int], packing: bool) -> MicroBatch:
    """Rows of conversations."""
    layout = []
    for row in rows:
        learnt = [(i - 1, row.tokens[i]) for i in range(1, len(row.tokens)) if row.labels[i]]
        layout.append(_Row(row.tokens[:-1], 0, None, learnt))
    tokens = sum(len(row.tokens) for row in rows)
    return (_pack if packing else _pad)(tuple(ids), tuple(indices), layout, tokens)


def pair_batch(
    ids: Sequence[str], rows: Sequence[EncodedPair], indices: Sequence[int], packing: bool, share_prompt: bool
) -> MicroBatch:
    """Rows of pairs: sequences 2i and 2i + 1 are the chosen and the rejected answer of pair i."""
    layout: list[_Row] = []
    tokens = at = 0
    for row in rows:
        size = len(row.prompt)
        for order, answer in enumerate((row.chosen, row.rejected)):
            tokens += size + len(answer)
            if order and packing and share_prompt:
                learnt = [(i - 1, token) for i, token in enumerate(answer)]
                layout.append(_Row(answer[:-1], size, (at, at + size), learnt))
                at += size + len(row.chosen) - 1 + len(answer) - 1
            else:
                learnt = [(size + i - 1, token) for i, token in enumerate(answer)]
                layout.append(_Row([*row.prompt, *answer[:-1]], 0, None, learnt))
    return (_pack if packing else _pad)(tuple(ids), tuple(indices), layout, tokens)


def _pack(ids: tuple[str, ...], indices: tuple[int, ...], layout: list[_Row], tokens: int) -> MicroBatch:
    flat: list[int] = []
    positions: list[int] = []
    where: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    spans: list[tuple[int, int]] = []
    prefixes: list[tuple[int, int] | None] = []
    for number, row in enumerate(layout):
        start = len(flat)
        for index, target in row.learnt:
            before = row.prefix[1] - 1 if row.prefix and index < 0 else start + index
            where.append(before)
            targets.append(target)
            owner.append(number)
        flat += row.own
        positions += range(row.position, row.position + len(row.own))
        spans.append((start, len(flat)))
        prefixes.append(row.prefix)
    if not flat:  # an empty micro-batch: one token that nothing is learnt from keeps all processes in step
        flat, positions, spans, prefixes = [0], [0], [(0, 1)], [None]
    return MicroBatch(
        ids=ids,
        indices=indices,
        input_ids=torch.tensor([flat]),
        position_ids=torch.tensor([positions]),
        where=torch.tensor(where, dtype=torch.long),
        targets=torch.tensor(targets, dtype=torch.long),
        owner=torch.tensor(owner, dtype=torch.long),
        sequences=len(layout),
        tokens=tokens,
        segments=Segments(tuple(spans), tuple(prefixes)),
    )


def _pad(ids: tuple[str, ...], indices: tuple[int, ...], layout: list[_Row], tokens: int) -> MicroBatch:
    rows = layout or [_Row([0], 0, None, [])]
    width = max(1, *(len(row.own) for row in rows))
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        input_ids[number, : len(row.own)] = torch.tensor(row.own, dtype=torch.long)
        mask[number, : max(1, len(row.own))] = 1
    learnt = [(n, n * width + index, target) for n, row in enumerate(layout) for index, target in row.learnt]
    owner, where, targets = zip(*learnt, strict=True) if learnt else ((), (), ())
    return MicroBatch(
        ids=ids,
        indices=indices,
        input_ids=input_ids,
        position_ids=torch.arange(width).expand(len(rows), width),
        where=torch.tensor(where, dtype=torch.long),
        targets=torch.tensor(targets, dtype=torch.long),
        owner=torch.tensor(owner, dtype=torch.long),
        sequences=len(layout),
        tokens=tokens,
        attention_mask=mask,
    )
