"""Supervised fine-tuning on the response tokens (paper §3.2)."""

from __future__ import annotations

from torch import Tensor

from autoif.training.batches import MicroBatch
from autoif.training.loop import Loop
from autoif.training.losses import sft_loss


class Sft(Loop):
    """Cross-entropy, normalised by the response tokens of the global batch."""

    def micro_loss(self, batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        return sft_loss(self.log_probs(batch), batch.step_learnt), {}
