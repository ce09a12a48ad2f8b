"""A tiny random chat model, rows for it, and jobs: what the training tests share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoif.config import DpoConfig, GrpoConfig, HardwareConfig, Schedule, TrainingConfig
from autoif.records import AnswerGroup, GroupAnswer, Message, PreferencePair, Record, SftExample, write_records
from autoif.training.job import GroupObjective, Job, Preference

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny_tokenizer(template: str | None = CHATML, eos: str = "<|im_end|>") -> Any:
    """One token a byte, and three special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate([*special, *letters])}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=eos, pad_token="<|endoftext|>")
    tokenizer.chat_template = template
    return tokenizer


def tiny_model(folder: Path, seed: int = 0, template: str | None = CHATML, **changes: Any) -> Path:
    """Write a random two-layer Llama with grouped queries and tied embeddings, fp32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer(template)
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,
        "initializer_range": 0.2,
    }
    LlamaForCausalLM(LlamaConfig(**settings | changes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def words(source: random.Random, count: int) -> str:
    return " ".join("".join(source.choices("abcdef", k=source.randint(1, 5))) for _ in range(count))


def sft_rows(count: int, seed: int = 0) -> list[SftExample]:
    source = random.Random(seed)
    return [
        SftExample(
            id=f"sft-{i}",
            messages=(
                Message(role="user", content=words(source, source.randint(2, 8))),
                Message(role="assistant", content=words(source, source.randint(1, 16))),
            ),
            instruction="",
            functions=(),
            accuracy=1.0,
        )
        for i in range(count)
    ]


def pair_rows(count: int, seed: int = 1) -> list[PreferencePair]:
    source = random.Random(seed)
    return [
        PreferencePair(
            id=f"pair-{i}",
            prompt=(Message(role="user", content=words(source, source.randint(2, 8))),),
            chosen=words(source, source.randint(1, 12)),
            rejected=words(source, source.randint(1, 12)),
            level="query",
            chosen_accuracy=1.0,
            rejected_accuracy=0.0,
        )
        for i in range(count)
    ]


def sft_job(folder: Path, start: Path, rows: int = 10, micro: int = 2, **changes: Any) -> Job:
    """An SFT job below ``folder`` on ``rows`` random conversations; ``changes`` go to the training settings."""
    settings: dict[str, Any] = {
        "learning_rate": 1e-2,
        "global_batch_size": 4,
        "epochs": 2,
        "max_length": 256,
        "warmup_steps": 2,
        "save_every": 1000,
    }
    return _job(folder, start, sft_rows(rows), TrainingConfig(**settings | changes), micro)


def dpo_job(folder: Path, start: Path, reference: Path, rows: int = 10, micro: int = 2, **changes: Any) -> Job:
    """The same for DPO."""
    settings: dict[str, Any] = {
        "learning_rate": 5e-3,
        "schedule": Schedule.cosine,
        "global_batch_size": 4,
        "epochs": 2,
        "max_length": 256,
        "warmup_ratio": 0.1,
        "save_every": 1000,
        "beta": 0.1,
    }
    training = DpoConfig(**settings | changes)
    preference = Preference(beta=training.beta, nll_weight=training.nll_weight, reference=str(reference))
    return _job(folder, start, pair_rows(rows), training, micro, preference)


def group_rows(count: int, seed: int = 2, size: int = 4) -> list[AnswerGroup]:
    """Groups of ``size`` answers with rewards 0 and 1 in turn; every third is cut off."""
    source = random.Random(seed)
    return [
        AnswerGroup(
            id=f"group-{i}",
            prompt=(Message(role="user", content=words(source, source.randint(2, 8))),),
            answers=tuple(
                GroupAnswer(
                    text=words(source, source.randint(1, 12)),
                    reward=float(k % 2),
                    advantage=k % 2 - 0.5,
                    whole=k % 3 != 2,
                )
                for k in range(size)
            ),
        )
        for i in range(count)
    ]


def grpo_job(
    folder: Path, start: Path, reference: Path, rows: list[AnswerGroup], micro: int = 2, **changes: Any
) -> Job:
    """GRPO on ``rows``; ``changes`` go to the training settings."""
    settings: dict[str, Any] = {
        "learning_rate": 2e-3,
        "schedule": Schedule.constant,
        "global_batch_size": 4,
        "epochs": 2,
        "max_length": 256,
        "weight_decay": 0.0,
        "save_every": 1000,
    }
    training = GrpoConfig(**settings | changes)
    objective = GroupObjective(
        clip_low=training.clip_low,
        clip_high=training.clip_high,
        kl_weight=training.kl_weight,
        kl_correction=training.kl_correction,
        normalisation=training.normalisation,
        reference=str(reference),
    )
    return _job(folder, start, rows, training, micro, group=objective)


def _job(
    folder: Path,
    start: Path,
    rows: Sequence[Record],
    training: TrainingConfig,
    micro: int,
    preference: Preference | None = None,
    group: GroupObjective | None = None,
) -> Job:
    (folder / "work").mkdir(parents=True, exist_ok=True)
    write_records(folder / "rows.jsonl", rows)
    return Job(
        data=str(folder / "rows.jsonl"),
        start=str(start),
        output=str(folder / "model"),
        work=str(folder / "work"),
        seed=3,
        training=training,
        hardware=HardwareConfig(name="test", micro_batch_size=micro, threads=1),
        preference=preference,
        group=group,
    )
