"""Losses against values worked out by hand, and the fused head against the plain one."""

from __future__ import annotations

import math

import pytest
import torch

from autoif.training import losses
from autoif.training.losses import dpo_loss, fused_token_log_probs, sft_loss, sum_by_sequence, token_log_probs


def test_sft_loss_is_the_mean_over_the_whole_batch_whatever_the_split() -> None:
    log_probs = torch.tensor([0.5, 0.25, 0.125, 0.5]).log()
    whole = sft_loss(log_probs, 4)
    assert math.isclose(whole.item(), (math.log(2) + math.log(4) + math.log(8) + math.log(2)) / 4, rel_tol=1e-6)
    parts = sft_loss(log_probs[:1], 4) + sft_loss(log_probs[1:], 4)
    assert torch.allclose(whole, parts)


def test_dpo_loss_equals_the_values_worked_out_by_hand() -> None:
    # log-ratios: chosen -1 - (-2) = 1, rejected -3 - (-2.5) = -0.5; β = 0.3: rewards 0.3 and -0.15, margin 0.45
    loss, chosen, rejected = dpo_loss(*(torch.tensor([v]) for v in (-1.0, -3.0, -2.0, -2.5)), beta=0.3)
    assert math.isclose(chosen.item(), 0.3, rel_tol=1e-6)
    assert math.isclose(rejected.item(), -0.15, rel_tol=1e-6)
    assert math.isclose(loss.item(), math.log(1 + math.exp(-0.45)), rel_tol=1e-6)


def test_dpo_loss_is_log_two_when_policy_and_reference_agree_and_does_not_overflow() -> None:
    same = torch.tensor([-5.0]), torch.tensor([-7.0])
    assert math.isclose(dpo_loss(*same, *same, beta=0.1)[0].item(), math.log(2), rel_tol=1e-6)
    far = dpo_loss(torch.tensor([-1e4]), torch.tensor([0.0]), torch.tensor([0.0]), torch.tensor([0.0]), beta=1.0)[0]
    assert math.isclose(far.item(), 1e4, rel_tol=1e-6)


def test_dpo_gradient_pushes_the_answers_apart_with_equal_force() -> None:
    chosen, rejected = (torch.tensor([v], requires_grad=True) for v in (-4.0, -3.0))
    reference = torch.tensor([-4.0]), torch.tensor([-4.0])
    dpo_loss(chosen, rejected, *reference, beta=0.5)[0].sum().backward()
    weight = 0.5 / (1 + math.exp(-0.5))  # β · σ(−margin), margin = 0.5 · (0 − 1)
    assert math.isclose(chosen.grad.item(), -weight, rel_tol=1e-5)
    assert math.isclose(rejected.grad.item(), weight, rel_tol=1e-5)


def test_tokens_are_summed_to_the_sequence_they_belong_to() -> None:
    sums = sum_by_sequence(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0, 2, 2, 0]), 4)
    assert sums.tolist() == [9.0, 0.0, 6.0, 0.0]


@pytest.mark.parametrize("chunked", [False, True])
def test_the_fused_head_equals_log_softmax_and_its_gradient(chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if chunked:
        monkeypatch.setattr(losses, "MAX_LOGITS", 2 * 50)  # two rows a chunk
    torch.manual_seed(0)
    hidden = torch.randn(7, 16, dtype=torch.float64)
    weight = torch.randn(50, 16, dtype=torch.float64)
    targets = torch.randint(50, (7,))
    scale = torch.randn(7, dtype=torch.float64)
    results = []
    for function in (lambda h, w: token_log_probs(h @ w.T, targets), lambda h, w: fused_token_log_probs(h, w, targets)):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        value = function(h, w)
        (value * scale).sum().backward()
        results.append((value.detach(), h.grad, w.grad))
    for plain, fused in zip(*results, strict=True):
        assert torch.allclose(plain, fused, atol=1e-12)


def test_the_fused_head_takes_an_empty_micro_batch() -> None:
    weight = torch.randn(5, 4, requires_grad=True)
    value = fused_token_log_probs(torch.zeros(0, 4, requires_grad=True), weight, torch.zeros(0, dtype=torch.long))
    value.sum().backward()
    assert weight.grad.abs().sum() == 0
