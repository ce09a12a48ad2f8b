"""TRL's arms of the benchmark: its trainers on our rows. Imported only where TRL is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoif.records import PreferencePair, read_records
from autoif.training.chat import load_chat
from autoif.training.data import SftData, load_data, make_plan
from autoif.training.job import Job
from autoif.training.launch import EVENT


def train(job: Job, tuned: bool) -> None:
    """TRL's trainer on the same rows in the same steps, so that the losses can be compared one by one; tuned, SFT puts
    rows of like length into a step instead. Its defaults stay, but for what would change the arithmetic."""
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
        "lr_scheduler_type": job.training.schedule.value,
        "weight_decay": job.training.weight_decay,
        "adam_beta1": job.training.adam_beta1,
        "adam_beta2": job.training.adam_beta2,
        "max_grad_norm": job.training.clip_norm,
        "train_sampling_strategy": "sequential",
        "max_length": job.training.max_length,
        "bf16": False,
        "use_cpu": True,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    if tuned:
        settings["gradient_checkpointing"] = False
    common: dict[str, Any] = {"processing_class": AutoTokenizer.from_pretrained(job.start), "callbacks": [Report()]}
    model = AutoModelForCausalLM.from_pretrained(job.start, dtype=torch.float32)
    data = Dataset.from_list(list(_rows(job)))
    if job.preference is None:
        if tuned:  # DPO's rows have no length column that this sampler knows
            settings["train_sampling_strategy"] = "group_by_length"
        trl.SFTTrainer(model=model, args=trl.SFTConfig(**settings), train_dataset=data, **common).train()
        return
    if tuned:
        settings["precompute_ref_log_probs"] = True
    reference = AutoModelForCausalLM.from_pretrained(job.start, dtype=torch.float32)
    config = trl.DPOConfig(beta=job.preference.beta, **settings)
    print(f"{EVENT}reference", flush=True)
    trainer = trl.DPOTrainer(model=model, ref_model=reference, args=config, train_dataset=data, **common)
    print(f"{EVENT}ready", flush=True)
    trainer.train()


def _rows(job: Job) -> Iterator[dict[str, Any]]:
    """The rows in the order of our plan. SFT's come tokenised: TRL would also learn the line break that the chat
    template writes after an answer, an easy token that lowers the mean."""
    data = load_data(job, load_chat(Path(job.start)))
    order = [i for step in make_plan(job, data) for i in step.indices]
    if isinstance(data, SftData):
        for row in (data.rows[i] for i in order):
            yield {"input_ids": list(row.tokens), "assistant_masks": list(row.labels)}
        return
    pairs = list(read_records(Path(job.data), PreferencePair))
    for pair in (pairs[i] for i in order):
        yield {
            "prompt": [{"role": "user", "content": pair.prompt[0].content}],
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
