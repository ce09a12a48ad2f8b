"""Direct preference optimisation against stored reference log-probabilities (paper §3.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autoif.training.batches import MicroBatch
from autoif.training.job import Preference
from autoif.training.loop import Loop
from autoif.training.losses import dpo_loss, sum_by_sequence
from autoif.training.reference import TokenTable


class Dpo(Loop):
    """Sigmoid DPO, mean over the pairs of the global batch, plus an optional NLL term on the chosen answers.

    Args:
        reference: the frozen model's log-probabilities.
        starts_at_reference: policy and reference are the same weights, so the first margins must be 0.
    """

    def __init__(self, *args: Any, preference: Preference, reference: TokenTable, starts_at_reference: bool) -> None:
        super().__init__(*args)
        self.preference, self.reference, self.starts_at_reference = preference, reference, starts_at_reference

    def micro_loss(self, batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        token_log_probs = self.log_probs(batch)
        log_probs = sum_by_sequence(token_log_probs, batch.owner, batch.sequences).view(-1, 2)
        reference = sum_by_sequence(self.reference.of(batch), batch.owner, batch.sequences).view(-1, 2)
        losses, chosen, rejected = dpo_loss(
            log_probs[:, 0], log_probs[:, 1], reference[:, 0], reference[:, 1], self.preference.beta
        )
        margins = chosen - rejected
        if self.starts_at_reference and self.trainer.global_step == 0:
            self.check_start(margins / self.preference.beta, log_probs.detach())
        rows = batch.step_rows
        metrics = {
            "margin": margins.sum() / rows,
            "accuracy": (margins > 0).float().sum() / rows,
            "chosen_reward": chosen.sum() / rows,
            "rejected_reward": rejected.sum() / rows,
        }
        loss = losses.sum() / rows
        if self.preference.nll_weight:
            lengths = torch.bincount(batch.owner, minlength=batch.sequences).clamp(min=1).view(-1, 2)
            nll = -(log_probs[:, 0] / lengths[:, 0]).sum() / rows
            loss = loss + self.preference.nll_weight * nll
            metrics["nll"] = nll.detach()
        return loss, metrics
