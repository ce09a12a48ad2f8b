"""GRPO: the loss by hand and against TRL's, exact steps, and a reward that rises by what a real function says."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
from training_tiny import group_rows, grpo_job, tiny_model

from autoif.config import Normalisation, QualityConfig, VerifyResponsesConfig
from autoif.errors import EngineError
from autoif.execution import ExecutionEngine
from autoif.generation.transformers import TransformersGenerator
from autoif.records import Function, Prompt, Reject, TrainStep, read_records
from autoif.stage import Context
from autoif.synthesis.groups import GroupsConfig, answer_groups
from autoif.synthesis.respond import SampleConfig, sample
from autoif.synthesis.verify_responses import verify_samples
from autoif.training.chat import load_chat
from autoif.training.data import GroupData, load_data
from autoif.training.job import Job
from autoif.training.losses import grpo_loss, kl_estimate, token_weights
from autoif.training.run import run, weights_sha256


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


def curve(job: Job) -> list[TrainStep]:
    return list(read_records(job.curve, TrainStep))


def test_the_surrogate_equals_the_values_worked_out_by_hand() -> None:
    # ratios 1, 1.5 and 0.5 with either sign of the advantage, clipped to [0.8, 1.3]
    policy = torch.tensor([0.0, math.log(1.5), math.log(0.5), math.log(1.5), math.log(0.5)])
    advantages = torch.tensor([2.0, 1.0, 1.0, -1.0, -1.0])
    losses, clipped = grpo_loss(policy, torch.zeros(5), advantages, 0.2, 0.3)
    assert losses.tolist() == pytest.approx([-2.0, -1.3, -0.5, 1.5, 0.8])
    assert clipped.tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]


def test_a_clipped_token_gives_no_gradient_and_a_free_one_its_ratio_times_the_advantage() -> None:
    policy = torch.tensor([math.log(1.5), math.log(1.1)], requires_grad=True)
    grpo_loss(policy, torch.zeros(2), torch.tensor([1.0, 2.0]), 0.2, 0.2)[0].sum().backward()
    assert policy.grad is not None
    assert policy.grad.tolist() == pytest.approx([0.0, -2.2])


def test_the_kl_estimate_is_zero_where_models_agree_never_negative_and_right_on_average() -> None:
    torch.manual_seed(0)
    policy, reference = (torch.randn(7).log_softmax(0) for _ in range(2))
    assert kl_estimate(policy, policy).abs().max() == 0
    estimate = kl_estimate(policy, reference)
    assert estimate.min() >= 0
    assert (policy.exp() * estimate).sum() == pytest.approx(
        float((policy.exp() * (policy - reference)).sum()), abs=1e-6
    )


def test_the_weighed_estimate_has_the_gradient_of_the_divergence_and_the_plain_one_has_not() -> None:
    torch.manual_seed(0)
    start, reference = torch.randn(7, dtype=torch.float64), torch.randn(7, dtype=torch.float64).log_softmax(0)
    gradients = []
    for kind in ("exact", "weighed", "plain"):
        logits = start.clone().requires_grad_()
        policy = logits.log_softmax(0)
        old = policy.detach()
        if kind == "exact":
            (policy.exp() * (policy - reference)).sum().backward()
        else:  # the mean over what the model samples
            (old.exp() * kl_estimate(policy, reference, old if kind == "weighed" else None)).sum().backward()
        gradients.append(logits.grad)
    exact, weighed, plain = gradients
    assert torch.allclose(exact, weighed)
    assert not torch.allclose(exact, plain, atol=1e-2)


def test_what_a_token_counts_under_each_normalisation() -> None:
    lengths, sizes = torch.tensor([2.0, 6.0]), torch.tensor([2.0, 2.0])
    weigh = {n: token_weights(lengths, sizes, n, rows=5, tokens=40, longest=10).tolist() for n in Normalisation}
    assert weigh[Normalisation.sequence] == pytest.approx([1 / 20, 1 / 60])
    assert weigh[Normalisation.token] == pytest.approx([1 / 40, 1 / 40])
    assert weigh[Normalisation.constant] == pytest.approx([1 / 100, 1 / 100])


def plain_loss(job: Job, normalisation: Normalisation) -> float:
    """The first global batch's loss in plain transformers: ratio 1, so −A a token, and the KL towards the reference."""
    from transformers import AutoModelForCausalLM

    data = load_data(job, load_chat(Path(job.start)))
    assert isinstance(data, GroupData)
    assert job.group is not None
    models = [AutoModelForCausalLM.from_pretrained(folder) for folder in (job.start, job.group.reference)]

    def log_probs(model: Any, prompt: Any, answer: Any) -> torch.Tensor:
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        return torch.log_softmax(logits, -1).gather(1, torch.tensor(list(answer))[:, None])[:, 0]

    total = 0.0
    for row, advantages in zip(data.rows, data.advantages, strict=True):
        for answer, advantage in zip(row.answers, advantages, strict=True):
            policy, reference = (log_probs(model, row.prompt, answer) for model in models)
            kl = (reference - policy).exp() - 1 - (reference - policy)
            tokens = float((-advantage + job.training.kl_weight * kl).sum())  # type: ignore[attr-defined]
            total += (
                tokens
                / {
                    Normalisation.sequence: len(answer) * len(advantages) * len(data.rows),
                    Normalisation.token: sum(data.learnt),
                    Normalisation.constant: job.training.max_length * len(advantages) * len(data.rows),
                }[normalisation]
            )
    return total


@pytest.mark.parametrize("normalisation", Normalisation)
def test_the_first_loss_equals_plain_transformers_whatever_the_micro_batch(
    base: Path, tmp_path: Path, normalisation: Normalisation
) -> None:
    other = tiny_model(tmp_path / "other", seed=1)
    losses, norms = [], []
    for micro in (1, 3):
        folder = tmp_path / str(micro)
        job = grpo_job(folder, base, other, group_rows(3), micro, normalisation=normalisation, kl_weight=0.1, epochs=1)
        run(job)
        (step,) = curve(job)
        losses.append(step.loss)
        norms.append(step.grad_norm)
        assert step.metrics["reward"] == 0.5
        assert step.metrics["clipped"] == 0.0
        assert step.metrics["kl"] > 0
    assert losses == pytest.approx([plain_loss(job, normalisation)] * 2, rel=1e-4)
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_without_a_kl_weight_no_reference_is_computed_and_with_one_its_hash_is_kept(base: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=1)
    free = grpo_job(tmp_path / "free", base, other, group_rows(3), epochs=1, kl_weight=0.0)
    assert run(free)["reference"] is None
    assert "kl" not in curve(free)[0].metrics
    assert not (Path(free.work) / "reference.safetensors").exists()
    pulled = grpo_job(tmp_path / "pulled", base, other, group_rows(3), epochs=1)
    assert run(pulled)["reference"] == {"path": str(other), "sha256": weights_sha256(other)}


def test_later_epochs_are_measured_against_the_model_that_sampled(base: Path, tmp_path: Path) -> None:
    job = grpo_job(tmp_path, base, base, group_rows(4), epochs=8, learning_rate=5e-3)
    run(job)
    rows = curve(job)
    assert rows[0].metrics["clipped"] == rows[0].metrics["kl"] == 0.0
    assert rows[-1].metrics["clipped"] > 0.2
    assert rows[-1].metrics["kl"] > 0.0


def test_log_probabilities_of_another_model_are_found_out_at_the_first_step(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    job = grpo_job(tmp_path, base, base, group_rows(3), epochs=1)
    values = torch.full((sum(load_data(job, load_chat(base)).learnt),), -1.0)
    save_file(
        {"log_probs": values}, Path(job.work) / "old.safetensors", metadata={"weights_sha256": weights_sha256(base)}
    )
    with pytest.raises(EngineError, match="differ before the first step"):
        run(job)


LETTER = "def evaluate(response):\n    return response[:1].isascii() and response[:1].isalpha()"


class Rows(list[Any]):
    """Rows of a finished stage, and where its model lies."""

    files: Path
    entry = SimpleNamespace(fingerprint="tiny")


def test_the_reward_that_a_function_gives_rises_over_the_rounds(
    base: Path, tmp_path: Path, engine: ExecutionEngine
) -> None:
    """Sample, execute, compare, train, four times: the stages of a run, on a model that starts as noise."""
    functions = (Function(id="f", code=LETTER),)
    prompts = Rows(
        Prompt(id=f"p{n}", verifier_id="v", instruction="", query="", text=f"q{n}", functions=functions)
        for n in range(8)
    )
    engines: Any = SimpleNamespace(
        execution=engine,
        policy=lambda folder, identity: TransformersGenerator(folder, identity, batch_size=64, threads=1),
    )
    sampling = SampleConfig(iteration=1, samples=16, temperature=1.0, top_p=1.0, max_tokens=3, prompts=None)
    start, rewards = base, []
    for number in range(4):
        folder = tmp_path / f"round{number}"
        model = Rows()
        model.files = folder / "start"
        model.files.mkdir(parents=True)
        (model.files / "model").symlink_to(start)
        sampled = list(sample(Context(sampling, engines, folder, folder, seed=number), prompts, model))
        judged = list(verify_samples(Context(VerifyResponsesConfig(), engines, folder, folder), sampled))
        # Nearly all of these answers end at the limit; here that is no flaw.
        judged = [
            msgspec.structs.replace(
                row, responses=tuple(msgspec.structs.replace(r, dropped=None) for r in row.responses)
            )
            for row in judged
        ]
        context = Context(GroupsConfig(standardise=True, quality=QualityConfig()), engines, folder, folder)
        groups = [row for row in answer_groups(context, Rows(judged)) if not isinstance(row, Reject)]
        rewards.append(context.facts["reward"])
        wide = {"clip_low": 0.9, "clip_high": 4.0}  # so that a few rounds go far
        job = grpo_job(folder, start, base, groups, micro=4, learning_rate=4e-3, epochs=4, kl_weight=0.0, **wide)
        run(job)
        start = Path(job.output)
    assert rewards[0] < 0.4
    assert rewards[-1] > 0.8
