"""Log-probabilities of a frozen model: computed once before training and stored, so no second model stays in memory.

The pass uses the training's own kernels, packing and micro-batches (those of the first epoch), so that a policy that
starts as the frozen model has ratios of exactly 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from autoif.training.batches import MicroBatch
from autoif.training.data import Loader
from autoif.training.model import Policy
from autoif.training.strategy import loading


class TokenTable:
    """A value for each learnt token of a dataset, rows end to end.

    Args:
        learnt: learnt tokens of each row.
        values: [sum of ``learnt``]; NaN everywhere when left out.
    """

    def __init__(self, learnt: Sequence[int], values: Tensor | None = None) -> None:
        self._starts = [0, *accumulate(learnt)]
        self.values = torch.full((self._starts[-1],), float("nan")) if values is None else values

    def of(self, batch: MicroBatch) -> Tensor:
        """The values of a micro-batch's learnt tokens, on its device: [L]."""
        rows = [self.values[self._starts[i] : self._starts[i + 1]] for i in batch.indices]
        return torch.cat([self.values[:0], *rows]).to(batch.targets.device)

    def put(self, batch: MicroBatch, values: Tensor) -> None:
        """Set them."""
        parts = values.float().cpu().split([self._starts[i + 1] - self._starts[i] for i in batch.indices])
        for index, part in zip(batch.indices, parts, strict=True):
            self.values[self._starts[index] : self._starts[index + 1]] = part


class FrozenPass(LightningModule):
    """Fills a table with this process's share of the dataset; rows of other processes stay NaN."""

    def __init__(self, make_policy: Callable[[], Policy], table: TokenTable) -> None:
        super().__init__()
        self._make_policy = make_policy
        self.policy: Policy | None = None
        self.table = table

    def configure_model(self) -> None:
        if self.policy is None:
            with loading(self.trainer.strategy):
                self.policy = self._make_policy()

    def predict_step(self, batch: MicroBatch, batch_idx: int) -> None:
        assert self.policy is not None
        self.table.put(batch, self.policy(batch))

    def transfer_batch_to_device(self, batch: MicroBatch, device: torch.device, dataloader_idx: int) -> MicroBatch:
        return batch.to(device)


def frozen_log_probs(
    path: Path, weights: str, loader: Loader, make_policy: Callable[[], Policy], trainer: Callable[[], Any]
) -> TokenTable:
    """Log-probabilities of all learnt tokens, in nats. Read from ``path`` if stored for the same ``weights`` (their
    SHA-256), else computed by all processes, each its own micro-batches, and stored."""
    table = TokenTable(loader.data.learnt)
    stored = _load(path, weights, len(table.values))
    if stored is not None:
        return TokenTable(loader.data.learnt, stored)
    runner = trainer()
    runner.predict(FrozenPass(make_policy, table), loader, return_predictions=False)
    if runner.world_size > 1:
        own = torch.nan_to_num(table.values, nan=0.0).to(runner.strategy.root_device)
        table.values = runner.strategy.reduce(own, reduce_op="sum").cpu()
    if runner.is_global_zero:
        _save(path, weights, table.values)
    runner.strategy.barrier(path.name)
    return table


def _load(path: Path, weights: str, tokens: int) -> Tensor | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            values: Tensor = file.get_tensor("log_probs")
            known = (file.metadata() or {}).get("weights_sha256")
    except (FileNotFoundError, SafetensorError):
        return None
    return values if known == weights and values.shape == (tokens,) else None


def _save(path: Path, weights: str, values: Tensor) -> None:
    from safetensors.torch import save_file

    part = path.with_name(path.name + ".part")
    save_file({"log_probs": values.contiguous()}, part, metadata={"weights_sha256": weights})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
