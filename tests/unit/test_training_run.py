"""Whole runs on a tiny model: exact steps, guards, checkpoints, export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file
from training_tiny import dpo_job, group_rows, grpo_job, pair_rows, sft_job, sft_rows, tiny_model

from autoif.config import Precision
from autoif.errors import DataError, EngineError
from autoif.records import Message, TrainStep, read_records, write_records
from autoif.training import checkpoints
from autoif.training.chat import load_chat
from autoif.training.data import load_data, make_plan
from autoif.training.job import Job
from autoif.training.model import load_policy, master_dtype
from autoif.training.plan import learning_rate_factor
from autoif.training.run import run, weights_sha256


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


def curve(job: Job) -> list[TrainStep]:
    return list(read_records(job.curve, TrainStep))


def weights(job: Job) -> dict[str, torch.Tensor]:
    return load_file(Path(job.output) / "model.safetensors")


def plain_sft(job: Job) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The same run in plain PyTorch: each global batch as single sequences, one mean over all its response tokens."""
    from transformers import AutoModelForCausalLM

    data = load_data(job, load_chat(Path(job.start)))
    plan = make_plan(job, data)
    model = AutoModelForCausalLM.from_pretrained(job.start)
    settings = job.training
    norms = [p for p in model.parameters() if p.ndim < 2]
    others = [p for p in model.parameters() if p.ndim >= 2]
    optimizer = torch.optim.AdamW(
        [{"params": others, "weight_decay": settings.weight_decay}, {"params": norms, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
    )
    losses = []
    for number, step in enumerate(plan):
        factor = learning_rate_factor(number, total=plan.steps, warmup=2, schedule=settings.schedule.value)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        total: Any = 0.0
        count = 0
        for index in step.indices:
            row = data.rows[index]
            tokens = torch.tensor([list(row.tokens)])
            mask = torch.tensor([bool(label) for label in row.labels])
            logits = model(tokens).logits[0, :-1][mask[1:]]
            total = total + torch.nn.functional.cross_entropy(logits, tokens[0, 1:][mask[1:]], reduction="sum")
            count += int(mask[1:].sum())
        optimizer.zero_grad()
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        losses.append((total / count).item())
    return losses, model.state_dict()


def test_sft_equals_plain_pytorch_step_by_step_the_incomplete_batch_included(base: Path, tmp_path: Path) -> None:
    job = sft_job(tmp_path, base, rows=10, micro=2)
    run(job)
    losses, state = plain_sft(job)
    assert [row.loss for row in curve(job)] == pytest.approx(losses, rel=1e-5)
    for name, value in weights(job).items():
        assert torch.allclose(value, state[name], atol=1e-4), name


def test_accumulation_changes_no_loss(base: Path, tmp_path: Path) -> None:
    curves = []
    for micro in (1, 4):
        job = sft_job(tmp_path / str(micro), base, micro=micro)
        run(job)
        curves.append(curve(job))
    assert [r.loss for r in curves[0]] == pytest.approx([r.loss for r in curves[1]], rel=1e-5)
    assert [r.grad_norm for r in curves[0]] == pytest.approx([r.grad_norm for r in curves[1]], rel=1e-4)
    assert [(r.tokens, r.learning_rate, r.epoch) for r in curves[0]] == [
        (r.tokens, r.learning_rate, r.epoch) for r in curves[1]
    ]


def test_sft_learns_a_few_rows_by_heart(base: Path, tmp_path: Path) -> None:
    job = sft_job(tmp_path, base, rows=4, epochs=40)
    facts = run(job)
    losses = [row.loss for row in curve(job)]
    assert losses[-1] < 0.5 * losses[0]
    assert facts["steps"] == len(losses) == 40
    assert facts["versions"]["torch"] == str(torch.__version__)


def test_dpo_starts_at_margin_zero_and_raises_it(base: Path, tmp_path: Path) -> None:
    job = dpo_job(tmp_path, base, base, rows=4, epochs=12, learning_rate=2e-3)
    facts = run(job)
    rows = curve(job)
    assert rows[0].metrics["margin"] == 0.0
    assert rows[0].loss == pytest.approx(0.693147, abs=1e-5)
    assert rows[-1].metrics["margin"] > 1.0
    assert rows[-1].metrics["accuracy"] == 1.0
    assert rows[-1].loss < 0.3
    assert facts["reference"] == {"path": str(base), "sha256": weights_sha256(base)}


def test_dpo_against_another_reference_takes_its_log_probabilities(base: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=1)
    job = dpo_job(tmp_path / "run", base, other, rows=4, epochs=1)
    facts = run(job)
    assert curve(job)[0].metrics["margin"] != 0.0
    assert load_file(Path(job.work) / "reference.safetensors")["log_probs"].shape == (facts["learnt_tokens_per_epoch"],)


def test_the_nll_term_adds_the_mean_over_the_chosen_answers_tokens(base: Path, tmp_path: Path) -> None:
    job = dpo_job(tmp_path, base, base, rows=4, epochs=1, nll_weight=0.2)
    run(job)
    values = load_file(Path(job.work) / "reference.safetensors")["log_probs"]
    lengths = [len(answer) for row in load_data(job, load_chat(base)).rows for answer in row.answers]
    nll = sum(-float(answer.mean()) for answer in values.split(lengths)[::2]) / 4
    assert curve(job)[0].metrics["nll"] == pytest.approx(nll, rel=1e-5)
    assert curve(job)[0].loss == pytest.approx(0.693147 + 0.2 * nll, rel=1e-5)


def test_a_reference_table_of_another_model_is_found_out_at_the_first_step(base: Path, tmp_path: Path) -> None:
    job = dpo_job(tmp_path, base, base, rows=4, epochs=1)
    values = torch.arange(float(sum(load_data(job, load_chat(base)).learnt)))
    path = Path(job.work) / "reference.safetensors"
    save_file({"log_probs": values}, path, metadata={"weights_sha256": weights_sha256(base)})
    with pytest.raises(EngineError, match="differ before the first step"):
        run(job)


def test_rotary_frequencies_that_were_rounded_stop_the_run(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoif.training import run as module

    def rounded(*arguments: Any) -> Any:
        policy = load_policy(*arguments)
        for layer in policy.modules():
            if hasattr(layer, "inv_freq"):
                layer.inv_freq = layer.inv_freq.bfloat16()
        return policy

    monkeypatch.setattr(module, "load_policy", rounded)
    with pytest.raises(EngineError, match=r"inv_freq was loaded as torch\.bfloat16"):
        run(sft_job(tmp_path, base, rows=4, epochs=1))


def test_weights_are_kept_in_fp32_and_only_deepspeed_keeps_them_itself() -> None:
    assert master_dtype(Precision.bf16, deepspeed=False) is torch.float32
    assert master_dtype(Precision.fp32, deepspeed=True) is torch.float32
    assert master_dtype(Precision.bf16, deepspeed=True) is torch.bfloat16


def test_bf16_training_keeps_changes_that_bf16_cannot_hold(base: Path, tmp_path: Path) -> None:
    """Rounds of DPO start from each other's models: rounded between them, small steps would be lost."""
    job = sft_job(tmp_path, base, rows=4, epochs=1, learning_rate=1e-6)
    run(msgspec.structs.replace(job, hardware=replace(job.hardware, precision=Precision.bf16)))
    before, after = (load_file(Path(folder) / "model.safetensors") for folder in (base, job.output))
    for name, value in after.items():
        assert value.dtype is torch.float32
        assert 0 < (value - before[name]).abs().max() < 1e-5, name


def test_a_loss_that_is_not_finite_stops_before_the_step_and_names_the_records(base: Path, tmp_path: Path) -> None:
    job = sft_job(tmp_path, base)
    rows = sft_rows(10)
    talk = (rows[7].messages[0], Message(role="assistant", content="Z"))
    rows[7] = msgspec.structs.replace(rows[7], messages=talk)
    write_records(Path(job.data), rows)
    start = tiny_model(tmp_path / "poisoned", tie_word_embeddings=False)
    state = load_file(start / "model.safetensors")
    state["model.embed_tokens.weight"][load_chat(base).tokenizer("Z")["input_ids"][0]] = float("nan")
    save_file(state, start / "model.safetensors", metadata={"format": "pt"})
    job = msgspec.structs.replace(job, start=str(start), hardware=replace(job.hardware, micro_batch_size=1))
    with pytest.raises(EngineError, match="not finite at step") as caught:
        run(job)
    assert "records: sft-7:" in str(caught.value)
    assert not Path(job.output).exists()


def test_rows_too_long_for_an_answer_are_counted_and_none_left_is_an_error(base: Path, tmp_path: Path) -> None:
    job = sft_job(tmp_path / "some", base, rows=12, max_length=64, epochs=1)
    facts = run(job)
    assert facts["rows"] + facts["dropped_too_long"] == 12
    assert facts["truncated"] > 0
    with pytest.raises(DataError, match="max_length"):
        run(sft_job(tmp_path / "none", base, max_length=4))


def test_the_exported_folder_is_loaded_by_plain_transformers(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    job = sft_job(tmp_path, base, epochs=1)
    run(job)
    output = Path(job.output)
    model = AutoModelForCausalLM.from_pretrained(output)
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert model.dtype == torch.float32
    assert model.config.use_cache is True
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert tokenizer.chat_template
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert sorted(p.suffix for p in output.iterdir() if "part" in p.name) == []
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "abc"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    assert model.generate(**prompt, max_new_tokens=3, do_sample=False).shape[1] > prompt["input_ids"].shape[1]
    names = set(json.loads((base / "config.json").read_text())) - set(json.loads((output / "config.json").read_text()))
    assert not names


class _Stop(Exception):
    """The run ends here, as if the power went."""


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    finish = checkpoints.Curve.on_train_batch_end

    def ending(self: Any, trainer: Any, *args: Any) -> None:
        finish(self, trainer, *args)
        if trainer.global_step == step:
            raise _Stop

    monkeypatch.setattr(checkpoints.Curve, "on_train_batch_end", ending)


@pytest.mark.parametrize(
    "make",
    [
        sft_job,
        lambda folder, start, **changes: dpo_job(folder, start, start, **changes),
        lambda folder, start, **changes: grpo_job(folder, start, start, group_rows(10), **changes),
    ],
    ids=["sft", "dpo", "grpo"],
)
@pytest.mark.parametrize("stop", [2, 5])
def test_a_stopped_run_goes_on_with_the_same_losses_to_the_same_bytes(
    make: Any, stop: int, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(tmp_path / "whole", base)
    run(whole)
    job = make(tmp_path / "stopped", base, save_every=2)
    with monkeypatch.context() as patch:
        stop_after(patch, stop)
        with pytest.raises(_Stop):
            run(job)
    assert not Path(job.output).exists()
    facts = run(job)
    assert facts["resumed_from_step"] == stop // 2 * 2
    assert job.curve.read_bytes() == whole.curve.read_bytes()
    assert (Path(job.output) / "model.safetensors").read_bytes() == (
        Path(whole.output) / "model.safetensors"
    ).read_bytes()


def test_a_half_written_checkpoint_is_not_taken_and_old_ones_are_removed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = sft_job(tmp_path, base, save_every=1, epochs=2, keep_checkpoints=2)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(_Stop):
            run(job)
    folder = checkpoints.folder(job)
    assert sorted(p.name for p in folder.iterdir()) == ["step-00000003", "step-00000004"]
    (folder / "step-00000004").rename(folder / "step-00000004.part")
    assert run(job)["resumed_from_step"] == 3


def test_a_checkpoint_of_another_layout_is_refused(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = sft_job(tmp_path, base, save_every=1)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(_Stop):
            run(job)
    other = msgspec.structs.replace(job, hardware=replace(job.hardware, micro_batch_size=1))
    with pytest.raises(EngineError, match="set hardware back"):
        run(other)


def test_a_single_process_also_saves_by_time_but_never_more_than_a_share_of_it(base: Path, tmp_path: Path) -> None:
    job = sft_job(tmp_path, base)
    saver = checkpoints.Checkpoints(job, steps=100, accumulation=2, min_seconds=0.0)
    assert saver.due(7)
    saver._cost = 1e6
    assert not saver.due(7)
    assert not saver.due(100)


def test_pairs_are_read_with_their_ids(base: Path, tmp_path: Path) -> None:
    job = dpo_job(tmp_path, base, base, rows=3)
    data = load_data(job, load_chat(base))
    assert data.ids == [p.id for p in pair_rows(3)]
    assert all(n > 0 for n in data.learnt)
