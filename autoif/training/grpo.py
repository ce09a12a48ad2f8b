"""Group-relative policy optimisation on a prompt's own answers (https://arxiv.org/abs/2402.03300).

Advantages come with the rows; the log-probabilities of the model that sampled, and of the reference, are stored.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autoif.training.batches import MicroBatch
from autoif.training.data import GroupData
from autoif.training.job import GroupObjective
from autoif.training.loop import Loop
from autoif.training.losses import grpo_loss, kl_estimate, token_weights
from autoif.training.reference import TokenTable


class Grpo(Loop):
    """Clipped policy gradient, mean over the groups of the global batch, plus a KL term towards the reference.

    Args:
        old: log-probabilities of the model that sampled the answers, which training starts from.
        reference: those of the frozen reference; None without a KL term.
    """

    def __init__(
        self, *args: Any, objective: GroupObjective, groups: GroupData, old: TokenTable, reference: TokenTable | None
    ) -> None:
        super().__init__(*args)
        self.objective, self.groups, self.old, self.reference = objective, groups, old, reference

    def micro_loss(self, batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        objective, rows = self.objective, batch.step_rows
        log_probs, old = self.log_probs(batch), self.old.of(batch)
        if self.trainer.global_step == 0:
            self.check_start(log_probs.detach() - old, old)
        groups = [self.groups.advantages[index] for index in batch.indices]
        advantages = log_probs.new_tensor([value for group in groups for value in group])
        sizes = log_probs.new_tensor([len(group) for group in groups for _ in group])
        lengths = torch.bincount(batch.owner, minlength=batch.sequences).to(log_probs.dtype)
        weights = token_weights(
            lengths,
            sizes,
            objective.normalisation,
            rows=rows,
            tokens=batch.step_learnt,
            longest=self.job.training.max_length,
        )[batch.owner]
        losses, clipped = grpo_loss(log_probs, old, advantages[batch.owner], objective.clip_low, objective.clip_high)
        loss = (losses * weights).sum()
        metrics = {
            "reward": log_probs.new_tensor([self.groups.rewards[index] for index in batch.indices]).sum() / rows,
            "length": (lengths / sizes).sum() / rows,
            "clipped": clipped.sum() / batch.step_learnt,
        }
        if self.reference is not None:
            kl = kl_estimate(log_probs, self.reference.of(batch), old if objective.kl_correction else None)
            loss = loss + objective.kl_weight * (kl * weights).sum()
            metrics["kl"] = kl.detach().sum() / batch.step_learnt
        return loss, metrics
