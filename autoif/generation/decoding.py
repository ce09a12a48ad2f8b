"""Batched decoding of a causal language model: finished rows are replaced, not waited for.

All rows of a call share one batch of ``slots`` rows. When rows finish, waiting ones are prefilled together and take
their slots; when none wait, the batch shrinks. Samples of the same prompt are prefilled once. Each row draws from
random numbers of its own, so what it samples does not depend on its neighbours.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from autoif.generation.kv import SlotCache

PREFILL_TOKENS = 16384
"""Padded prompt tokens that one prefill computes at most (one row may exceed it)."""

NUCLEUS = 512
"""Most likely tokens among which the nucleus is looked for before the whole vocabulary is sorted."""


@dataclass(slots=True, eq=False)
class Row:
    """One answer in the making. ``prompt``: token ids; ``limit``: new tokens at most; ``tokens``: the new ones."""

    prompt: list[int]
    limit: int
    temperature: float
    top_p: float
    random: random.Random
    stops: Callable[[Row], bool] | None = None
    tokens: list[int] = field(default_factory=list)
    finish: str = ""

    @property
    def length(self) -> int:
        """Columns in the cache once its last token has been read."""
        return len(self.prompt) + len(self.tokens)


def decode(model: Any, rows: Sequence[Row], slots: int, pad: int, ends: frozenset[int]) -> None:
    """Decode ``rows`` to their ends, at most ``slots`` at a time, in the order given; fills ``tokens`` and ``finish``.

    ``ends``: token ids that end an answer (kept as its last token).
    """
    with torch.inference_mode():
        _Batch(model, slots, pad, ends).run(list(rows))


class _Batch:
    """Rows in slots. A slot whose row is finished is None until it is filled again or dropped."""

    def __init__(self, model: Any, slots: int, pad: int, ends: frozenset[int]) -> None:
        self._model, self._slots, self._pad, self._ends = model, slots, pad, ends
        self._device = model.device
        self._cache = SlotCache(model.config.get_text_config().num_hidden_layers, self._device)
        self._rows: list[Row | None] = []

    def run(self, waiting: list[Row]) -> None:
        waiting.reverse()
        while waiting or any(self._rows):
            busy = sum(row is not None for row in self._rows)
            # One at a time would cost a prefill each; an eighth of the slots idles at most.
            if waiting and (not busy or self._slots - busy >= max(1, self._slots // 8)):
                self._admit([waiting.pop() for _ in range(min(len(waiting), self._slots - busy))])
            elif busy < len(self._rows) and not waiting and len(self._rows) - busy >= max(1, len(self._rows) // 8):
                self._shrink()
            else:
                self._step()

    def _admit(self, rows: list[Row]) -> None:
        """Prefill ``rows``, choose their first tokens and give slots to those that go on."""
        first = 0
        while first < len(rows):
            count, width = 1, len(rows[first].prompt)
            prompts = {tuple(rows[first].prompt)}
            while first + count < len(rows):
                prompt = tuple(rows[first + count].prompt)
                wider = max(width, len(prompt))
                if prompt not in prompts and wider * (len(prompts) + 1) > PREFILL_TOKENS:
                    break
                prompts.add(prompt)
                count, width = count + 1, wider
            self._prefill(rows[first : first + count])
            first += count

    def _prefill(self, rows: list[Row]) -> None:
        prompts = dict.fromkeys(tuple(row.prompt) for row in rows)
        distinct = {prompt: number for number, prompt in enumerate(prompts)}
        width = max(map(len, distinct))
        ids = torch.full((len(distinct), width), self._pad)
        mask = torch.zeros((len(distinct), width), dtype=torch.long)
        for number, prompt in enumerate(distinct):
            ids[number, width - len(prompt) :] = torch.tensor(prompt)
            mask[number, width - len(prompt) :] = 1
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        filled = DynamicCache()
        logits = self._model(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            position_ids=positions.to(self._device),
            past_key_values=filled,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        sources = [distinct[tuple(row.prompt)] for row in rows]
        self._extend(rows, choose(logits[torch.tensor(sources, device=self._device)], rows))
        going = [(row, source) for row, source in zip(rows, sources, strict=True) if not row.finish]
        if not going:
            return
        free = [slot for slot, row in enumerate(self._rows) if row is None]
        free += range(len(self._rows), len(self._rows) + len(going) - len(free))
        taken = free[: len(going)]
        self._rows += [None] * (max(taken) + 1 - len(self._rows))
        for slot, (row, _) in zip(taken, going, strict=True):
            self._rows[slot] = row
        self._cache.insert(taken, [source for _, source in going], [len(row.prompt) for row, _ in going], filled)

    def _step(self) -> None:
        """One token for every row."""
        rows = self._rows
        # The newest token is not in the cache yet.
        longest = max(row.length - 1 for row in rows if row)
        self._cache.open_column(longest)
        ids = torch.tensor([[row.tokens[-1] if row else self._pad] for row in rows], device=self._device)
        positions = torch.tensor([[row.length - 1 if row else 0] for row in rows], device=self._device)
        logits = self._model(
            input_ids=ids,
            attention_mask=self._cache.view(),
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self._cache.close_column()
        live = [slot for slot, row in enumerate(rows) if row]
        if len(live) < len(rows):
            logits = logits[torch.tensor(live, device=self._device)]
        going = [row for row in rows if row]
        self._extend(going, choose(logits, going))
        for slot in live:
            row = rows[slot]
            if row and row.finish:
                rows[slot] = None

    def _extend(self, rows: Sequence[Row], tokens: Sequence[int]) -> None:
        for row, token in zip(rows, tokens, strict=True):
            row.tokens.append(token)
            if token in self._ends or (row.stops is not None and row.stops(row)):
                row.finish = "stop"
            elif len(row.tokens) >= row.limit:
                row.finish = "length"

    def _shrink(self) -> None:
        kept = [slot for slot, row in enumerate(self._rows) if row]
        self._cache.keep(kept)
        self._rows = [self._rows[slot] for slot in kept]


def choose(logits: torch.Tensor, rows: Sequence[Row]) -> list[int]:
    """A next token for each row from its ``logits``, shape (rows, vocabulary): greedy or sampled, as the row says."""
    picks = logits.argmax(-1)
    sampled = [number for number, row in enumerate(rows) if row.temperature > 0]
    if not sampled:
        return picks.tolist()  # type: ignore[no-any-return]
    settings = [[rows[n].temperature, rows[n].top_p, rows[n].random.random()] for n in sampled]
    values = torch.tensor(settings, device=logits.device, dtype=torch.float32)
    temperature, top_p, uniform = values[:, :, None].unbind(1)
    at = torch.tensor(sampled, device=logits.device)
    scores = logits if len(sampled) == len(rows) else logits[at]
    probabilities = torch.softmax(scores.float() / temperature, -1)
    # Each row takes the way of its own settings, whatever its neighbours': the ways differ in the order of tokens.
    cut = [number for number, (_, share, _) in enumerate(settings) if share < 1]
    whole = [number for number, (_, share, _) in enumerate(settings) if share >= 1]
    for numbers, pick in ((cut, _nucleus), (whole, _whole)):
        if len(numbers) == len(sampled):
            picks[at] = pick(probabilities, top_p, uniform)
        elif numbers:
            some = torch.tensor(numbers, device=logits.device)
            picks[at[some]] = pick(probabilities[some], top_p[some], uniform[some])
    return picks.tolist()  # type: ignore[no-any-return]


def _whole(probabilities: torch.Tensor, top_p: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Sample from the whole vocabulary."""
    return _inverse(probabilities, uniform)


def _inverse(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Index where the cumulated ``weights`` (rows, n) pass the share ``uniform`` (rows, 1) of their sum."""
    cumulated = weights.cumsum(-1)
    index = torch.searchsorted(cumulated, uniform * cumulated[:, -1:], right=True)
    return index.clamp(max=weights.shape[-1] - 1).squeeze(-1)


def _nucleus(probabilities: torch.Tensor, top_p: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Sample among the fewest most likely tokens whose mass reaches ``top_p`` (Holtzman et al. 2020)."""
    vocabulary = probabilities.shape[-1]
    for size in (min(NUCLEUS, vocabulary), vocabulary):
        likely, tokens = probabilities.topk(size, sorted=True)
        if size == vocabulary or bool((likely.sum(-1, keepdim=True) >= top_p).all()):
            break
    before = likely.cumsum(-1) - likely
    kept = likely.masked_fill(before >= top_p, 0.0)
    return tokens.gather(-1, _inverse(kept, uniform)[:, None]).squeeze(-1)
