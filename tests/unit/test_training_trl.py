"""The same batch, weights and settings through TRL's trainers: the losses agree. Runs where TRL is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_tiny import dpo_job, pair_rows, sft_job, sft_rows, tiny_model, tiny_tokenizer

from autoif.records import TrainStep, read_records
from autoif.training.job import Job
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
