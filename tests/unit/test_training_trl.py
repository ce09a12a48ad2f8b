"""The same batch, weights and settings through TRL's trainers: the losses agree. Runs where TRL is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_tiny import dpo_job, pair_rows, sft_job, sft_rows, tiny_model, tiny_tokenizer

from autoif.config import Normalisation
from autoif.records import TrainStep, read_records
from autoif.training.job import Job
from autoif.training.losses import grpo_loss, kl_estimate, token_weights
from autoif.training.run import run

trl = pytest.importorskip("trl", reason="TRL is not installed")


TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Nothing after the end of a turn: TRL would learn that too."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return tiny_model(folder / "base", template=TEMPLATE), tiny_model(folder / "reference", seed=1, template=TEMPLATE)


def ours(job: Job) -> list[TrainStep]:
    run(job)
    return list(read_records(job.curve, TrainStep))


def arguments(tmp_path: Path, job: Job) -> dict[str, Any]:
    """One epoch of the whole dataset as one step, accumulated over two micro-batches."""
    return {
        "output_dir": str(tmp_path / "trl"),
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 1,
        "learning_rate": job.training.learning_rate,
        "max_length": job.training.max_length,
        "max_grad_norm": job.training.clip_norm,
        "bf16": False,
        "use_cpu": True,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }


def messages(row: Any) -> dict[str, Any]:
    return {"role": row.role, "content": row.content}


def test_sft_loss_and_gradient_norm_equal_trls(models: tuple[Path, Path], tmp_path: Path) -> None:
    from datasets import Dataset

    job = sft_job(tmp_path, models[0], rows=6, micro=3, global_batch_size=6, epochs=1, warmup_steps=0)
    (mine,) = ours(job)
    data = Dataset.from_list(
        [{"prompt": [messages(r.messages[0])], "completion": [messages(r.messages[1])]} for r in sft_rows(6)]
    )
    trainer = trl.SFTTrainer(
        model=str(models[0]),
        args=trl.SFTConfig(**arguments(tmp_path, job)),
        train_dataset=data,
        processing_class=tiny_tokenizer(TEMPLATE),
    )
    trainer.train()
    theirs = trainer.state.log_history[0]
    assert theirs["loss"] == pytest.approx(mine.loss, rel=1e-5)
    assert theirs["grad_norm"] == pytest.approx(mine.grad_norm, rel=1e-4)


def test_dpo_loss_and_rewards_equal_trls(models: tuple[Path, Path], tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM

    base, reference = models
    job = dpo_job(tmp_path, base, reference, rows=6, micro=3, global_batch_size=6, epochs=1, warmup_ratio=0.0)
    (mine,) = ours(job)
    data = Dataset.from_list(
        [
            {
                "prompt": [messages(r.prompt[0])],
                "chosen": [{"role": "assistant", "content": r.chosen}],
                "rejected": [{"role": "assistant", "content": r.rejected}],
            }
            for r in pair_rows(6)
        ]
    )
    trainer = trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        ref_model=AutoModelForCausalLM.from_pretrained(reference),
        args=trl.DPOConfig(beta=0.1, **arguments(tmp_path, job)),
        train_dataset=data,
        processing_class=tiny_tokenizer(TEMPLATE),
    )
    trainer.train()
    theirs = trainer.state.log_history[0]
    assert theirs["loss"] == pytest.approx(mine.loss, rel=1e-5)
    assert theirs["grad_norm"] == pytest.approx(mine.grad_norm, rel=1e-4)
    assert theirs["rewards/chosen"] == pytest.approx(mine.metrics["chosen_reward"], rel=1e-4, abs=1e-5)
    assert theirs["rewards/margins"] == pytest.approx(mine.metrics["margin"], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("correction", [False, True], ids=["plain KL", "weighed KL"])
@pytest.mark.parametrize(
    ("theirs", "normalisation"),
    [("grpo", Normalisation.sequence), ("bnpo", Normalisation.token), ("dr_grpo", Normalisation.constant)],
)
def test_grpo_losses_equal_trls(
    models: tuple[Path, Path], tmp_path: Path, theirs: str, normalisation: Normalisation, correction: bool
) -> None:
    """One group of four answers of different lengths, against log-probabilities that are off enough to clip."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM

    trainer = trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(models[0]),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=9,
            beta=0.07,
            epsilon=0.2,
            epsilon_high=0.3,
            loss_type=theirs,
            use_bias_correction_kl=correction,
            bf16=False,
            use_cpu=True,
            report_to="none",
        ),
        train_dataset=Dataset.from_list([{"prompt": "x"}] * 4),
        processing_class=tiny_tokenizer(TEMPLATE),
    )
    model = trainer.model.eval()
    torch.manual_seed(0)
    lengths = torch.tensor([7, 3, 5, 1])
    mask = (torch.arange(7) < lengths[:, None]).long()
    prompt, answers = torch.randint(3, 200, (4, 3)), torch.randint(3, 200, (4, 7))
    whole, seen = torch.cat([prompt, answers], 1), torch.cat([torch.ones_like(prompt), mask], 1)
    policy = trainer._get_per_token_logps_and_entropies(model, whole, seen, 7)[0].detach()
    old, reference = (policy + 0.3 * torch.randn(4, 7) for _ in range(2))
    advantages = torch.tensor([0.9, -0.3, -1.1, 0.5])
    inputs = {
        "prompt_ids": prompt,
        "prompt_mask": torch.ones_like(prompt),
        "completion_ids": answers,
        "completion_mask": mask,
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
    }
    wanted = trainer._compute_loss(model, inputs).item()
    learnt = mask.bool()
    owner = torch.arange(4)[:, None].expand(4, 7)[learnt]
    losses, clipped = grpo_loss(policy[learnt], old[learnt], advantages[owner], 0.2, 0.3)
    losses = losses + 0.07 * kl_estimate(policy[learnt], reference[learnt], old[learnt] if correction else None)
    weights = token_weights(lengths.float(), torch.full((4,), 4.0), normalisation, rows=1, tokens=16, longest=9)
    assert clipped.any()
    assert float((losses * weights[owner]).sum()) == pytest.approx(wanted, rel=1e-5)
