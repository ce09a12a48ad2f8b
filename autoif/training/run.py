"""One training job from data to exported folder, on every rank: read, (reference pass,) fit, export, facts."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from autoif.config import Accelerator
from autoif.planning.shape import forward_flops, from_config
from autoif.store import write_atomically
from autoif.training import checkpoints, strategy
from autoif.training.chat import load_chat
from autoif.training.checkpoints import Checkpoints, Curve
from autoif.training.data import Data, Loader, load_data, make_plan
from autoif.training.export import Export
from autoif.training.job import Job, Preference
from autoif.training.launch import EVENT
from autoif.training.loop import Loop
from autoif.training.model import Policy, load_policy, master_dtype
from autoif.training.plan import Plan


def run(job: Job) -> dict[str, Any]:
    """Train, export, and write the facts to ``job.result``; returns them."""
    began = time.monotonic()
    set_up(job)
    rank = int(os.environ.get("RANK", "0"))
    chat = load_chat(Path(job.start))
    data = load_data(job, chat)
    plan = make_plan(job, data)
    found = checkpoints.latest(job, plan.steps, plan.accumulation)
    path, start = found if found else (None, 0)
    if rank == 0:
        print(f"{EVENT}total {plan.steps - start}", flush=True)
    facts = about(job, data, plan)
    loop, facts["reference"] = make_loop(job, plan, data, rank)
    if rank == 0:
        print(f"{EVENT}ready", flush=True)
    saver = Checkpoints(job, plan.steps, plan.accumulation)
    curve = Curve(job, saver, start)
    trainer = make_trainer(job, plan, [curve, Export(job, chat)])
    trainer.fit(
        loop,
        train_dataloaders=Loader(plan, data, rank, start),
        ckpt_path=str(path / "state") if path else None,
        weights_only=False,
    )
    facts |= {
        "train_seconds": round(curve.train_seconds, 3),
        "seconds": round(time.monotonic() - began, 3),
        "tokens_per_second": round(curve.tokens / curve.train_seconds, 1) if curve.train_seconds else None,
        "mfu": utilisation(job, loop, data, curve.tokens / curve.train_seconds) if curve.train_seconds else None,
        "peak_memory_gb": round(peak_memory_gb(), 3),
        "resumed_from_step": start,
    }
    if rank == 0:
        write_atomically(job.result, msgspec.json.encode(facts))
    return facts


def set_up(job: Job) -> None:
    """Threads, determinism, and libraries that talk less."""
    threads = job.hardware.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(max(1, threads // (job.hardware.devices if job.world > 1 else 1)))
    torch.manual_seed(job.seed)
    if job.hardware.accelerator is Accelerator.gpu:
        torch.set_float32_matmul_precision("high" if job.hardware.precision.value == "bf16" else "highest")
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


def policy_maker(job: Job, folder: str) -> Callable[[], Policy]:
    """Loads a folder as a policy when the strategy asks for it."""

    def make() -> Policy:
        dtype = master_dtype(job.hardware.precision, strategy.is_deepspeed(job.hardware))
        return load_policy(Path(folder), job.hardware, dtype)

    return make


def make_loop(job: Job, plan: Plan, data: Data, rank: int) -> tuple[Loop, dict[str, str] | None]:
    """The algorithm's module, and what its reference is (path and SHA-256 of the weights; None where it has none)."""
    scale = strategy.loss_scale(job.hardware, plan.accumulation)
    common = (job, policy_maker(job, job.start), plan, scale, strategy.is_deepspeed(job.hardware))
    objective = job.preference or job.group
    if objective is None:
        from autoif.training.sft import Sft

        return Sft(*common), None
    from autoif.training.reference import TokenTable, frozen_log_probs

    if rank == 0:
        print(f"{EVENT}reference", flush=True)

    def table(name: str, folder: str, weights: str) -> TokenTable:
        loader = Loader(plan, data, rank, only_first_epoch=True)
        path = Path(job.work) / f"{name}.safetensors"
        return frozen_log_probs(path, weights, loader, policy_maker(job, folder), lambda: make_trainer(job, plan, []))

    start, weights = weights_sha256(Path(job.start)), weights_sha256(Path(objective.reference))
    reference = {"path": objective.reference, "sha256": weights}
    if isinstance(objective, Preference):
        from autoif.training.dpo import Dpo

        known = table("reference", objective.reference, weights)
        same = weights == start
        return Dpo(*common, preference=objective, reference=known, starts_at_reference=same), reference
    from autoif.training.data import GroupData
    from autoif.training.grpo import Grpo

    assert isinstance(data, GroupData)
    old = table("old", job.start, start)
    if not objective.kl_weight:
        return Grpo(*common, objective=objective, groups=data, old=old, reference=None), None
    frozen = old if weights == start else table("reference", objective.reference, weights)
    return Grpo(*common, objective=objective, groups=data, old=old, reference=frozen), reference


def make_trainer(job: Job, plan: Plan, callbacks: list[Any]) -> Any:
    """A Lightning trainer that does nothing but run the loop: no loggers, bars, validation or own checkpoints. The
    whole run is one pass over the loader, epochs included."""
    from lightning.pytorch import Trainer

    return Trainer(
        accelerator=job.hardware.accelerator.value,
        devices=job.hardware.devices,
        num_nodes=job.hardware.nodes,
        strategy=strategy.make_strategy(job.hardware, job.training.clip_norm),
        precision=strategy.precision(job.hardware),
        accumulate_grad_batches=plan.accumulation,
        max_epochs=1,
        max_steps=plan.steps,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        inference_mode=False,
        default_root_dir=job.work,
    )


def weights_sha256(folder: Path) -> str:
    """SHA-256 over the folder's safetensors files, in the order of their names."""
    state = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        state.update(file.name.encode() + b"\0")
        with file.open("rb") as data:
            while block := data.read(1 << 22):
                state.update(block)
    return state.hexdigest()


def about(job: Job, data: Data, plan: Plan) -> dict[str, Any]:
    """Facts known before the first step: sizes, batches, versions."""
    import lightning
    import transformers

    return {
        "algorithm": job.algorithm,
        "rows": len(data.ids),
        "dropped_too_long": data.dropped,
        "truncated": data.truncated,
        "tokens_per_epoch": sum(data.lengths),
        "learnt_tokens_per_epoch": sum(data.learnt),
        "steps": plan.steps,
        "accumulation": plan.accumulation,
        "processes": job.world,
        "strategy": job.hardware.strategy.value,
        "precision": job.hardware.precision.value,
        "normalisation": normalisation(job),
        "start": job.start,
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "lightning": lightning.__version__,
        },
    }


def normalisation(job: Job) -> str:
    """What a loss is the mean of, in words."""
    if job.group:
        return f"mean over the global batch's groups, tokens by {job.group.normalisation.value}"
    return "mean over the global batch's pairs" if job.preference else "mean over its response tokens"


def utilisation(job: Job, loop: Loop, data: Data, tokens_per_second: float) -> float | None:
    """Model FLOPs utilisation on GPUs whose peak is known: forward and backward of the tokens that were computed,
    causal attention counted by half, recomputation not counted; over the peak of all devices."""
    if job.hardware.accelerator is not Accelerator.gpu or not job.hardware.peak_tflops:
        return None
    assert loop.policy is not None
    shape = from_config(loop.policy.model.config.to_dict())
    tokens = tokens_per_second * data.computed / sum(data.lengths)
    length = sum(data.lengths) // (len(data.ids) * data.answers)
    return round(3 * forward_flops(shape, length) * tokens / (job.hardware.peak_tflops * 1e12 * job.world), 4)


def peak_memory_gb() -> float:
    """Peak of this process: device memory on a GPU, else resident memory. GB of 10⁹ bytes."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
