"""Losses as pure functions of log-probabilities, and the one place that turns hidden states into them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from autoif.config import Normalisation

MAX_LOGITS = 1 << 27
"""Logits held at once (L × V): 512 MiB in fp32. Larger batches go in chunks that backward computes again."""


def sft_loss(log_probs: Tensor, normalizer: float) -> Tensor:
    """Cross-entropy on the learnt tokens: −Σ log π(y_t | x, y_<t) / ``normalizer``.

    Args:
        log_probs: [L] of this micro-batch's learnt tokens.
        normalizer: learnt tokens of the whole global batch, so accumulation is exact
            (https://github.com/huggingface/transformers/pull/34191 shows what goes wrong otherwise).

    Returns:
        Scalar: this micro-batch's share of the batch's mean.
    """
    return -log_probs.sum() / normalizer


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sigmoid DPO loss, equation 7 of https://arxiv.org/abs/2305.18290.

    Args:
        policy_chosen, …: [P] summed log-probabilities of the answers, in nats.
        beta: strength of the pull towards the reference.

    Returns:
        losses [P]; rewards of the chosen and of the rejected answers [P], β · log(π/π_ref), without gradient.
    """
    chosen, rejected = beta * (policy_chosen - reference_chosen), beta * (policy_rejected - reference_rejected)
    return -logsigmoid(chosen - rejected), chosen.detach(), rejected.detach()


def grpo_loss(
    policy: Tensor, old: Tensor, advantages: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """Clipped surrogate of each token, equation 3 of https://arxiv.org/abs/2402.03300 without its KL term; with two
    bounds as in equation 10 of https://arxiv.org/abs/2503.14476.

    Args:
        policy: [L] log-probabilities under the model that is trained, in nats; old: under the one that sampled.
        advantages: [L] of each token's answer.

    Returns:
        losses [L], −min(ρA, clip(ρ, 1 − ``clip_low``, 1 + ``clip_high``)·A) with ρ = π/π_old; and [L], without
        gradient, 1 where the clip bound (the token gives no gradient), else 0.
    """
    ratio = (policy - old).exp()
    free, clipped = ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    return -torch.minimum(free, clipped), (clipped < free).to(policy.dtype).detach()


def kl_estimate(policy: Tensor, reference: Tensor, old: Tensor | None = None) -> Tensor:
    """KL(π ‖ π_ref) of each token, estimated without bias and never below 0: [L], [L] → [L].

    k3 = r − 1 − log r with r = π_ref/π (http://joschu.net/blog/kl-approx.html; equation 4 of
    https://arxiv.org/abs/2402.03300). The gradient of k3 is not that of the KL; with ``old`` [L], the log-probabilities
    of the model that sampled, it is weighed by π/π_old, and is (equation 7 of https://arxiv.org/abs/2512.02556).
    """
    log_ratio = reference - policy
    estimate = log_ratio.exp() - 1 - log_ratio
    return estimate if old is None else (policy - old).exp() * estimate


def token_weights(
    lengths: Tensor, group_sizes: Tensor, normalisation: Normalisation, *, rows: int, tokens: int, longest: int
) -> Tensor:
    """What one token of each answer counts in the mean over the global batch: [S], [S] → [S].

    Args:
        lengths: learnt tokens of each answer; group_sizes: answers in its group.
        rows: groups of the global batch; tokens: learnt tokens of it; longest: the most tokens a sequence may have.
        normalisation: ``sequence``, equation 3 of https://arxiv.org/abs/2402.03300; ``token``, equation 8 of
            https://arxiv.org/abs/2503.14476; ``constant``, https://arxiv.org/abs/2503.20783.
    """
    match normalisation:
        case Normalisation.sequence:
            return 1 / (group_sizes * lengths.clamp(min=1) * rows)
        case Normalisation.token:
            return torch.full_like(group_sizes, 1 / tokens)
        case Normalisation.constant:
            return 1 / (group_sizes * longest * rows)


def sum_by_sequence(log_probs: Tensor, owner: Tensor, sequences: int) -> Tensor:
    """Sum token log-probabilities [L] to sequences [S]; ``owner`` [L] says which one each token belongs to."""
    return torch.zeros(sequences, dtype=log_probs.dtype, device=log_probs.device).index_add(0, owner, log_probs)


def token_log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """log softmax(logits)[target], the plain way: [L, V], [L] → [L], fp32, in nats."""
    return torch.log_softmax(_wide(logits), dim=-1).gather(1, targets[:, None])[:, 0]


def fused_token_log_probs(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """:func:`token_log_probs` of hidden · weightᵀ: [L, H], [V, H], [L] → [L].

    One [L, V] buffer instead of three: backward turns the logits into their gradient in place. Above
    :data:`MAX_LOGITS` entries it works chunk by chunk and computes the logits again in backward.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    rows = max(1, MAX_LOGITS // weight.shape[0])
    if hidden.shape[0] <= rows:
        return _apply(hidden, weight, targets, False)
    chunks = zip(hidden.split(rows), targets.split(rows), strict=True)
    return torch.cat([_apply(h, weight, t, True) for h, t in chunks])


def _wide(values: Tensor) -> Tensor:
    """At least fp32: softmax over a large vocabulary needs it."""
    return values.float() if values.element_size() < 4 else values


def _apply(hidden: Tensor, weight: Tensor, targets: Tensor, recompute: bool) -> Tensor:
    result: Tensor = _TokenLogProbs.apply(hidden, weight, targets, recompute)  # type: ignore[no-untyped-call]
    return result


class _TokenLogProbs(torch.autograd.Function):
    """y = z_target − logsumexp(z), z = h·Wᵀ; so dz = g · (onehot − softmax(z)), dh = dz·W, dW = dzᵀ·h."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, recompute: bool) -> Tensor:
        logits = _wide(hidden @ weight.T)
        total = torch.logsumexp(logits, dim=-1)
        ctx.save_for_backward(hidden, weight, targets, total)
        ctx.logits = None if recompute else logits
        return logits.gather(1, targets[:, None])[:, 0] - total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, targets, total = ctx.saved_tensors
        logits = _wide(hidden @ weight.T) if ctx.logits is None else ctx.logits
        ctx.logits = None
        logits.sub_(total[:, None]).exp_().mul_(-grad[:, None])
        logits.scatter_add_(1, targets[:, None], grad[:, None])
        logits = logits.to(hidden.dtype)
        return logits @ weight, logits.T @ hidden, None, None
