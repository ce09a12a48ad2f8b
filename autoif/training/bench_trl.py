"""TRL's arms of the benchmark: its trainers on our rows. Imported only where TRL is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autoif.records import PreferencePair, SftExample, read_records
from autoif.training.job import Job
from autoif.training.launch import EVENT


def train(job: Job, tuned: bool) -> None:
    """TRL's trainer on the same rows. Its defaults stay, but for what would change the arithmetic."""
    import torch
    import trl  # type: ignore[import-not-found]
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

    torch.set_num_threads(job.hardware.threads or len(os.sched_getaffinity(0)))

    class Report(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                print(f"{EVENT}step {state.global_step} loss {logs['loss']}", flush=True)

    settings: dict[str, Any] = {
        "output_dir": job.work,
        "per_device_train_batch_size": job.hardware.micro_batch_size,
        "gradient_accumulation_steps": job.training.global_batch_size // job.hardware.micro_batch_size,
        "num_train_epochs": 1,
        "learning_rate": job.training.learning_rate,
        "max_length": job.training.max_length,
        "bf16": False,
        "use_cpu": True,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    if tuned:
        settings |= {"gradient_checkpointing": False, "train_sampling_strategy": "group_by_length"}
    common: dict[str, Any] = {"processing_class": AutoTokenizer.from_pretrained(job.start), "callbacks": [Report()]}
    model = AutoModelForCausalLM.from_pretrained(job.start, dtype=torch.float32)
    data = Dataset.from_list(list(_rows(job)))
    if job.preference is None:
        trl.SFTTrainer(model=model, args=trl.SFTConfig(**settings), train_dataset=data, **common).train()
        return
    if tuned:
        # Rows of a preference dataset have no length column that the sampler knows.
        settings |= {"precompute_ref_log_probs": True, "train_sampling_strategy": "random"}
    reference = AutoModelForCausalLM.from_pretrained(job.start, dtype=torch.float32)
    config = trl.DPOConfig(beta=job.preference.beta, **settings)
    print(f"{EVENT}reference", flush=True)
    trainer = trl.DPOTrainer(model=model, ref_model=reference, args=config, train_dataset=data, **common)
    print(f"{EVENT}ready", flush=True)
    trainer.train()


def _rows(job: Job) -> Any:
    def turn(role: str, content: str) -> dict[str, str]:
        return {"role": role, "content": content}

    if job.preference is None:
        for row in read_records(Path(job.data), SftExample):
            yield {
                "prompt": [turn("user", row.messages[0].content)],
                "completion": [turn("assistant", row.messages[1].content)],
            }
        return
    for pair in read_records(Path(job.data), PreferencePair):
        yield {
            "prompt": [turn("user", pair.prompt[0].content)],
            "chosen": [turn("assistant", pair.chosen)],
            "rejected": [turn("assistant", pair.rejected)],
        }
