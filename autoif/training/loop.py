"""The one training loop that all algorithms share: normalisation, clipping, schedule, metrics, guards.

An algorithm is a subclass with :meth:`Loop.micro_loss`. Lightning's automatic optimisation runs one micro-batch a
``training_step``; a micro-batch's loss is already its share of the global batch's mean, so gradients add up to the
exact token- (or pair-) normalised gradient whatever the micro-batch size, accumulation or number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from autoif.config import Precision
from autoif.errors import EngineError
from autoif.records import TrainStep
from autoif.training import masters
from autoif.training.batches import MicroBatch
from autoif.training.job import Job
from autoif.training.model import Policy
from autoif.training.plan import Plan, learning_rate_factor, warmup_steps
from autoif.training.strategy import loading


class Loop(LightningModule):
    """Base of the algorithms.

    Args:
        make_policy: loads the model; called inside the strategy's context, so a sharded model is never whole.
        loss_scale: undoes what the strategy divides gradients by.
    """

    def __init__(
        self, job: Job, make_policy: Callable[[], Policy], plan: Plan, loss_scale: float, deepspeed: bool
    ) -> None:
        super().__init__()
        self.job, self.plan = job, plan
        self.loss_scale, self.deepspeed = loss_scale, deepspeed
        self._make_policy = make_policy
        self.policy: Policy | None = None
        self._window: list[tuple[tuple[str, ...], Tensor]] = []
        self._sums: dict[str, Tensor] = {}
        self._tokens = 0
        self._grad_norm: Any = 0.0
        self._rate = 0.0

    def configure_model(self) -> None:
        if self.policy is None:
            with loading(self.trainer.strategy):
                self.policy = self._make_policy()

    def on_train_start(self) -> None:
        """Stop where rotary frequencies were rounded: in 16 bits they are off by radians at position 2 000, and no loss
        tells. Then give DeepSpeed's masters what its 16-bit weights cannot hold."""
        assert self.policy is not None
        for name, buffer in self.policy.named_buffers():
            if name.endswith("inv_freq") and buffer.dtype is not torch.float32:
                raise EngineError(
                    f"{name.removeprefix('model.')} was loaded as {buffer.dtype}, which ruins long positions: "
                    "its strategy must keep it in fp32"
                )
        if self.deepspeed and not self.trainer.global_step:
            masters.start_from(self.policy.model, Path(self.job.start))

    def log_probs(self, batch: MicroBatch) -> Tensor:
        """Log-probabilities of the micro-batch's targets: [L], in nats."""
        assert self.policy is not None
        result: Tensor = self.policy(batch)
        return result

    def micro_loss(self, batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """This micro-batch's share of the global batch's mean loss, and of the mean of each metric (no gradient)."""
        raise NotImplementedError

    def training_step(self, batch: MicroBatch, batch_idx: int) -> Tensor:
        loss, metrics = self.micro_loss(batch)
        self._window.append((batch.ids, loss.detach()))
        self._tokens += batch.tokens
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        if (batch_idx + 1) % self.plan.accumulation == 0:
            self._rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            self._check_finite()
        return loss * self.loss_scale

    def check_start(self, differences: Tensor, log_probs: Tensor) -> None:
        """Before the first update the policy is the frozen model; anything else means that one of them was loaded or
        computed differently, and the loss would pull towards the wrong one.

        Args:
            differences: what should be 0 but for rounding; log_probs: what they were computed from.
        """
        if not differences.numel() or not bool(torch.isfinite(differences).all()):
            return
        share = 1e-5 if self.job.hardware.precision is Precision.fp32 else 1e-2
        worst, bound = float(differences.abs().max()), share * float(log_probs.abs().max()) + 1e-4
        if worst > bound:
            raise EngineError(
                f"policy and reference differ before the first step (log-ratio {worst:.3g}, at most {bound:.3g} is "
                "rounding): the stored log-probabilities do not belong to this model; delete the stage's work folder "
                "and run again"
            )

    def _check_finite(self) -> None:
        """Stop before the optimizer takes a step that would ruin the weights; one synchronisation a step."""
        losses = torch.stack([loss for _, loss in self._window])
        if not bool(torch.isfinite(losses).all()):
            names = [i for ids, loss in self._window if not math.isfinite(loss) for i in ids]
            raise EngineError(self._not_finite("the loss", names))

    def _not_finite(self, what: str, names: list[str]) -> str:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return (
            f"{what} is not finite at step {self.trainer.global_step + 1}; records: {shown}: look at them in "
            f"{self.job.data}, or lower the learning rate"
        )

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip to ``clip_norm`` and keep the norm; DeepSpeed clips by itself."""
        if self.deepspeed:
            return
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.job.training.clip_norm or math.inf)
        if not bool(torch.isfinite(norm)):
            raise EngineError(self._not_finite("the gradient", [i for ids, _ in self._window for i in ids]))
        self._grad_norm = norm

    def finish_step(self) -> TrainStep:
        """The curve's row of the step that was just taken; sums over all processes."""
        loss = torch.stack([loss for _, loss in self._window]).sum()
        names = sorted(self._sums)
        values = torch.stack([loss, *(self._sums[n] for n in names)]).double()
        tokens = torch.tensor([self._tokens], dtype=torch.float64, device=values.device)
        total = self.trainer.strategy.reduce(torch.cat([values, tokens]), reduce_op="sum")
        engine: Any = self.trainer.strategy.model
        norm = engine.get_global_grad_norm() if self.deepspeed else self._grad_norm
        step = self.trainer.global_step
        row = TrainStep(
            step=step,
            epoch=step / self.plan.steps_per_epoch,
            loss=float(total[0]),
            learning_rate=float(self._rate),
            grad_norm=float(norm or 0.0),
            tokens=int(total[-1]),
            metrics={name: float(total[i + 1]) for i, name in enumerate(names)},
        )
        self._window, self._sums, self._tokens = [], {}, 0
        return row

    def configure_optimizers(self) -> Any:
        """AdamW; biases and norms are not decayed. The schedule counts optimizer steps."""
        settings = self.job.training
        decayed: list[Tensor] = []
        free: list[Tensor] = []
        for parameter in self.parameters():
            shape = getattr(parameter, "ds_shape", parameter.shape)  # a ZeRO-3 shard is flat
            (decayed if len(shape) >= 2 else free).append(parameter)
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": free, "weight_decay": 0.0}],
            lr=settings.learning_rate,
            betas=(settings.adam_beta1, settings.adam_beta2),
            fused=not self.deepspeed,
        )
        total = self.plan.steps
        warmup = warmup_steps(settings.warmup_steps, settings.warmup_ratio, total)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: learning_rate_factor(step, total=total, warmup=warmup, schedule=settings.schedule.value),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: MicroBatch, device: torch.device, dataloader_idx: int) -> MicroBatch:
        return batch.to(device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["autoif_rng"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        torch.set_rng_state(checkpoint["autoif_rng"].cpu())
