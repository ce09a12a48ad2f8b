"""Micro-batches as tensors: packed end to end (default) or padded, with the positions that are learnt.

The last token of a sequence predicts nothing and is left out of the input. In packed pairs and groups the prompt stands
once, before its answers; attention sees prompt + answer for each (:mod:`autoif.training.attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor

from autoif.training.attention import Segments
from autoif.training.chat import Encoded, EncodedAnswers


class MicroBatch(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a model computes at once; a struct, so that Lightning does not look inside.

    N: input tokens, L: learnt tokens, S: sequences (of pairs: chosen, rejected, chosen, …; of
    groups: all answers of the first, …). Learnt tokens stand in the order of the sequences.
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
    """One sequence of the layout: ``pieces`` are its own tokens; ``shares`` is the row whose first piece comes before
    them. ``learnt``: (index into the own tokens, −1 for the shared piece's last; target token)."""

    pieces: tuple[Sequence[int], ...]
    learnt: list[tuple[int, int]]
    shares: int | None = None


_EMPTY = _Row(([0],), [])
"""What an empty micro-batch computes: one token that nothing is learnt from keeps all processes in step."""


def sft_batch(ids: Sequence[str], rows: Sequence[Encoded], indices: Sequence[int], packing: bool) -> MicroBatch:
    """Rows of conversations."""
    layout = []
    for row in rows:
        learnt = [(i - 1, row.tokens[i]) for i in range(1, len(row.tokens)) if row.labels[i]]
        layout.append(_Row((row.tokens[:-1],), learnt))
    tokens = sum(len(row.tokens) for row in rows)
    return (_pack if packing else _pad)(tuple(ids), tuple(indices), layout, tokens)


def answers_batch(
    ids: Sequence[str], rows: Sequence[EncodedAnswers], indices: Sequence[int], packing: bool, share_prompt: bool
) -> MicroBatch:
    """Rows of answers to one prompt each: pairs (sequences 2i and 2i + 1 are chosen and rejected) or groups."""
    layout: list[_Row] = []
    tokens = 0
    for row in rows:
        size, first = len(row.prompt), len(layout)
        for number, answer in enumerate(row.answers):
            tokens += size + len(answer)
            if number and packing and share_prompt:
                learnt = [(i - 1, token) for i, token in enumerate(answer)]
                layout.append(_Row((answer[:-1],), learnt, shares=first))
            else:
                learnt = [(size + i - 1, token) for i, token in enumerate(answer)]
                layout.append(_Row((row.prompt, answer[:-1]), learnt))
    return (_pack if packing else _pad)(tuple(ids), tuple(indices), layout, tokens)


def _pack(ids: tuple[str, ...], indices: tuple[int, ...], layout: list[_Row], tokens: int) -> MicroBatch:
    flat: list[int] = []
    positions: list[int] = []
    learnt: list[tuple[int, int, int]] = []
    lengths: list[int] = []
    rows: list[tuple[int, ...]] = []
    own: list[int] = []
    first: list[tuple[int, int]] = []  # each row's first piece: its number, and the flat index where it ends
    for number, row in enumerate(layout or [_EMPTY]):
        piece, end = first[row.shares] if row.shares is not None else (None, 0)
        before = lengths[piece] if piece is not None else 0
        start = len(flat)
        first.append((len(lengths), start + len(row.pieces[0])))
        rows.append((*(() if piece is None else (piece,)), *range(len(lengths), len(lengths) + len(row.pieces))))
        for part in row.pieces:
            flat += part
            lengths.append(len(part))
        own.append(len(flat) - start)
        positions += range(before, before + own[-1])
        learnt += [(end - 1 if i < 0 else start + i, target, number) for i, target in row.learnt]
    where, targets, owner = zip(*learnt, strict=True) if learnt else ((), (), ())
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
        segments=Segments(tuple(lengths), tuple(rows), tuple(own)),
    )


def _pad(ids: tuple[str, ...], indices: tuple[int, ...], layout: list[_Row], tokens: int) -> MicroBatch:
    rows = [[token for piece in row.pieces for token in piece] for row in layout or [_EMPTY]]
    width = max(1, *(len(row) for row in rows))
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        input_ids[number, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[number, : len(row)] = 1
    learnt = [(n * width + index, target, n) for n, row in enumerate(layout) for index, target in row.learnt]
    where, targets, owner = zip(*learnt, strict=True) if learnt else ((), (), ())
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
