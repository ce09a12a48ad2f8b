"""Packing, shared prompts and logits-at-labels each give what transformers gives one padded sequence at a time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training_tiny import pair_rows, sft_rows, tiny_model

from autoif.config import HardwareConfig, Techniques
from autoif.records import write_records
from autoif.training.attention import packed_attention
from autoif.training.batches import MicroBatch
from autoif.training.chat import load_chat
from autoif.training.data import PairData, SftData
from autoif.training.losses import sum_by_sequence
from autoif.training.model import Policy, load_policy

SWITCHES = [
    Techniques(),
    Techniques(packing=False, share_prompt=False),
    Techniques(share_prompt=False),
    Techniques(label_logits=False),
    Techniques(packing=False, share_prompt=False, label_logits=False),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


def policy(base: Path, techniques: Techniques, **hardware: Any) -> Policy:
    return load_policy(base, HardwareConfig(name="test", techniques=techniques, **hardware), torch.float32)


def by_transformers(base: Path, sequences: list[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Summed log-probabilities of each (context, answer), one forward pass each, as transformers computes them."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, attn_implementation="eager")
    sums = []
    for context, answer in sequences:
        with torch.no_grad():
            logits = model(torch.tensor([[*context, *answer]])).logits[0, len(context) - 1 : -1]
        sums.append(torch.log_softmax(logits, -1).gather(1, torch.tensor(answer)[:, None]).sum())
    return torch.stack(sums)


def sums(model: Policy, batch: MicroBatch) -> torch.Tensor:
    return sum_by_sequence(model(batch), batch.owner, batch.sequences)


@pytest.mark.parametrize("techniques", SWITCHES, ids=str)
def test_pairs_have_the_log_probabilities_that_transformers_gives(
    base: Path, tmp_path: Path, techniques: Techniques
) -> None:
    write_records(tmp_path / "rows.jsonl", pair_rows(5))
    data = PairData(tmp_path / "rows.jsonl", load_chat(base), 256, techniques)
    batch = data.batch((3, 0, 4))
    wanted = by_transformers(
        base, [(list(r.prompt), list(a)) for r in (data.rows[i] for i in (3, 0, 4)) for a in r.answers]
    )
    assert torch.allclose(sums(policy(base, techniques), batch), wanted, atol=2e-4)


@pytest.mark.parametrize("techniques", SWITCHES[1:], ids=str)
def test_each_switch_gives_the_gradients_of_the_plain_path(base: Path, tmp_path: Path, techniques: Techniques) -> None:
    write_records(tmp_path / "rows.jsonl", pair_rows(4))
    gradients = []
    for switches in (techniques, SWITCHES[0]):
        data = PairData(tmp_path / "rows.jsonl", load_chat(base), 256, switches)
        model = policy(base, switches)
        values = sums(model, data.batch((0, 1, 2, 3)))
        (values * torch.arange(1.0, 9.0)).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        scale = gradient.abs().max()
        assert torch.allclose(gradient, gradients[1][name], atol=float(1e-5 * scale)), name


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on CPUs")
def test_compiled_layers_give_the_same_log_probabilities_and_gradients(base: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "rows.jsonl", sft_rows(4))
    data = SftData(tmp_path / "rows.jsonl", load_chat(base), 256, Techniques())
    found = []
    for techniques in (Techniques(), Techniques(compile=True)):
        model = policy(base, techniques)
        values = [model(data.batch(rows)) for rows in ((0, 1), (2, 3, 1))]
        torch.cat(values).sum().backward()
        found.append((values, {n: p.grad for n, p in model.named_parameters()}))
    for plain, compiled in zip(found[0][0], found[1][0], strict=True):
        assert torch.allclose(plain, compiled, atol=1e-5)
    assert found[0][1].keys() == found[1][1].keys()  # a checkpoint has the same names
    for name, gradient in found[0][1].items():
        assert torch.allclose(gradient, found[1][1][name], atol=float(1e-4 * gradient.abs().max())), name


class OnCuda(torch.Tensor):
    """A tensor of the CPU that says it is on a GPU."""

    is_cuda = True


def by_bounds(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    starts: torch.Tensor,
    same: torch.Tensor,
    *longest: int,
    **to: Any,
) -> torch.Tensor:
    """What PyTorch's variable-length kernel computes, in one dtype only: causal attention between ``starts``."""
    assert q.dtype == k.dtype == v.dtype == torch.bfloat16
    assert starts.tolist() == same.tolist()
    assert longest == (max(starts.diff().tolist()),) * 2
    assert to["window_size"] == (-1, 0)
    causal = torch.nn.functional.scaled_dot_product_attention
    pieces = zip(*(t.split(starts.diff().tolist()) for t in (q, k, v)), strict=True)
    outputs = [
        causal(*(t.transpose(0, 1) for t in qkv), is_causal=True, scale=to["scale"], enable_gqa=to["enable_gqa"])
        for qkv in pieces
    ]
    return torch.cat([output.transpose(0, 1) for output in outputs])


@pytest.mark.parametrize("mixed", [False, True], ids=["bf16 weights", "bf16 arithmetic"])
@pytest.mark.parametrize("share_prompt", [False, True])
def test_one_kernel_for_all_sequences_on_a_gpu_in_16_bits(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixed: bool, share_prompt: bool
) -> None:
    """With fp32 weights (one GPU, DDP), queries and keys leave the rotary embedding in fp32 and values are 16 bits."""
    calls = []

    def kernel(*args: Any, **options: Any) -> torch.Tensor:
        calls.append(len(args[3]) - 1)
        return by_bounds(*args, **options)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)
    write_records(tmp_path / "rows.jsonl", pair_rows(3))
    data = PairData(tmp_path / "rows.jsonl", load_chat(base), 256, Techniques(share_prompt=share_prompt))
    segments = data.batch((0, 1, 2)).segments
    assert segments is not None
    rotated = torch.float32 if mixed else torch.bfloat16
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, heads, sum(segments.lengths), 8, generator=generator) for heads in (4, 2, 2))
    q, k, v = q.to(rotated), k.to(rotated), v.to(torch.bfloat16)
    wanted, _ = packed_attention(torch.nn.Module(), *(t.bfloat16() for t in (q, k, v)), None, segments=segments)
    layout = segments.indexed(torch.device("cpu"))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: device == "cuda" and mixed)
    monkeypatch.setattr(torch, "get_autocast_dtype", {"cuda": torch.bfloat16}.get)
    got, _ = packed_attention(torch.nn.Module(), *(t.as_subclass(OnCuda) for t in (q, k, v)), None, segments=layout)
    assert calls == [6]
    assert got.dtype == torch.bfloat16
    assert torch.allclose(got.as_subclass(torch.Tensor), wanted, atol=2e-2)


def test_packed_conversations_do_not_see_each_other(base: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "rows.jsonl", sft_rows(6))
    data = SftData(tmp_path / "rows.jsonl", load_chat(base), 256, Techniques())
    model = policy(base, Techniques())
    together = sums(model, data.batch((0, 1, 2, 3)))
    alone = torch.cat([sums(model, data.batch((i,))) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-4)


def test_a_pair_costs_its_prompt_once_and_no_padding(base: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "rows.jsonl", pair_rows(3))
    data = PairData(tmp_path / "rows.jsonl", load_chat(base), 256, Techniques())
    batch = data.batch((0, 1, 2))
    unique = sum(len(r.prompt) + sum(map(len, r.answers)) - 2 for r in data.rows)
    assert batch.input_ids.shape == (1, unique)
    assert batch.tokens == sum(2 * len(r.prompt) + sum(map(len, r.answers)) for r in data.rows)


def test_activation_checkpointing_gives_the_same_gradients(base: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "rows.jsonl", pair_rows(2))
    data = PairData(tmp_path / "rows.jsonl", load_chat(base), 256, Techniques())
    gradients = []
    for checkpointing in (False, True):
        model = policy(base, Techniques(), activation_checkpointing=checkpointing).train()
        sums(model, data.batch((0, 1))).sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_an_empty_micro_batch_computes_and_teaches_nothing(base: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "rows.jsonl", sft_rows(2))
    for techniques in (Techniques(), Techniques(packing=False)):
        data = SftData(tmp_path / "rows.jsonl", load_chat(base), 256, techniques)
        model = policy(base, techniques)
        model(data.batch(())).sum().backward()
        assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_one_token_answers_are_learnt_on_both_sides(base: Path) -> None:
    from autoif.training.batches import answers_batch
    from autoif.training.chat import EncodedAnswers

    row = EncodedAnswers([5, 6, 7], ([2], [8, 2]))
    shared = answers_batch(["a"], [row], (0,), packing=True, share_prompt=True)
    plain = answers_batch(["a"], [row], (0,), packing=False, share_prompt=False)
    wanted = by_transformers(base, [([5, 6, 7], [2]), ([5, 6, 7], [8, 2])])
    assert torch.allclose(sums(policy(base, Techniques()), shared), wanted, atol=1e-5)
    padded = Techniques(packing=False)
    assert torch.allclose(sums(policy(base, padded), plain), wanted, atol=1e-5)
