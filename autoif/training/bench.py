"""Ours beside TRL on one machine: ``python -m autoif.training.bench --model FOLDER [--json]``.

Arms: ``ours`` as it runs in production; ``trl``: its trainer out of the box, in the same precision; ``trl_tuned``:
no activation checkpointing, batches of similar length, stored reference log-probabilities. Same model, rows, global
batch, micro-batch, threads and precision. Each arm is a process; rounds alternate; figures are medians.

A step's cost is the median over all steps but the first, plus the reference pass spread over the steps. Tokens are
those of the sequences, prompts included, a pair's prompt counted twice: what is computed is each arm's own affair.
CPU seconds are given beside wall time because other processes on the machine do not distort them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from autoif.config import HardwareConfig, TrainingConfig
from autoif.records import Message, PreferencePair, Record, SftExample, write_records
from autoif.training.job import Job, Preference, read_job
from autoif.training.launch import EVENT, environment
from autoif.training.main import die_with_parent

WORDS = [
    *("river", "morning", "answer", "simple", "garden", "between", "letter", "winter", "number", "people", "listen"),
    *("silver", "because", "market", "window", "travel", "small", "great", "reason", "follow", "bridge", "yellow"),
]


class Figures(msgspec.Struct, kw_only=True):
    """Medians of an arm: tokens a second of wall time and of CPU time (all threads), seconds a step, and the peak of
    resident memory in GB of 10⁹ bytes."""

    tokens_per_second: float
    tokens_per_cpu_second: float
    step_seconds: float
    peak_gb: float
    losses: list[float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds and print a table or JSON; ``--arm`` runs one arm's process."""
    parser = argparse.ArgumentParser(prog="autoif.training.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="Hugging Face folder of a small model")
    parser.add_argument("--algorithm", choices=["sft", "dpo"], nargs="+", default=["sft", "dpo"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8, help="sequences (pairs) a step")
    parser.add_argument("--micro", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.arm:
        die_with_parent()
        _ARMS[options.arm](read_job(Path(options.job)))
        return 0
    if not options.model:
        parser.error("--model is needed: a folder with a small model")
    names = ["ours", "trl", "trl_tuned"] if find_spec("trl") else ["ours"]
    results = {a: rounds(a, options, names) for a in options.algorithm}
    print(json.dumps(msgspec.to_builtins(results), indent=1) if options.json else table(results))
    if "trl" not in names:
        print("TRL is not installed: ours alone (pip install trl)", file=sys.stderr)
    return 0


def rounds(algorithm: str, options: argparse.Namespace, arms: list[str]) -> dict[str, Figures]:
    """Alternating rounds of all arms; the median round of each by wall time."""
    seen: dict[str, list[Figures]] = {arm: [] for arm in arms}
    for _ in range(options.rounds):
        for arm in arms:
            with tempfile.TemporaryDirectory() as folder:
                seen[arm].append(measure(arm, make_job(algorithm, options, Path(folder))))
                print(f"{algorithm} {arm}: {seen[arm][-1]}", file=sys.stderr, flush=True)
    return {arm: sorted(runs, key=lambda f: f.tokens_per_second)[len(runs) // 2] for arm, runs in seen.items()}


def make_job(algorithm: str, options: argparse.Namespace, folder: Path) -> Job:
    """One epoch over random rows with about the lengths that AutoIF's data has."""
    rows = rows_of(algorithm, options.batch * options.steps)
    write_records(folder / "rows.jsonl", rows)
    model = str(Path(options.model).absolute())
    return Job(
        data=str(folder / "rows.jsonl"),
        start=model,
        output=str(folder / "model"),
        work=str(folder),
        seed=0,
        training=TrainingConfig(learning_rate=1e-5, global_batch_size=options.batch, epochs=1, max_length=1024),
        hardware=HardwareConfig(name="bench", micro_batch_size=options.micro, threads=options.threads),
        preference=Preference(beta=0.1, nll_weight=0.0, reference=model) if algorithm == "dpo" else None,
    )


def rows_of(algorithm: str, count: int, seed: int = 0) -> list[Record]:
    """Prompts of 20..60 words, answers of 40..260: skewed, as answers are."""
    source = random.Random(seed)

    def text(low: int, high: int) -> str:
        return " ".join(source.choices(WORDS, k=int(low + (high - low) * source.random() ** 2)))

    def row(index: int) -> Record:
        prompt = Message(role="user", content=text(20, 60))
        if algorithm == "sft":
            talk = (prompt, Message(role="assistant", content=text(40, 260)))
            return SftExample(id=str(index), messages=talk, instruction="", functions=(), accuracy=1.0)
        return PreferencePair(
            id=str(index),
            prompt=(prompt,),
            chosen=text(40, 260),
            rejected=text(40, 260),
            level="query",
            chosen_accuracy=1.0,
            rejected_accuracy=0.0,
        )

    return [row(index) for index in range(count)]


def measure(arm: str, job: Job) -> Figures:
    """Run one arm in a process of its own and time its events."""
    path = Path(job.work) / "job.json"
    job.save(path)
    env = environment(job, os.environ) if arm == "ours" else dict(os.environ)
    child = subprocess.Popen(
        [sys.executable, "-m", "autoif.training.bench", "--arm", arm, "--job", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=env,
        text=True,
    )
    assert child.stdout is not None
    events = [
        Event(line[len(EVENT) :].strip(), time.monotonic(), _cpu_seconds(child.pid), _peak_gb(child.pid))
        for line in child.stdout
        if line.startswith(EVENT)
    ]
    if child.wait():
        raise SystemExit(f"arm {arm} failed: run it alone with --arm {arm} --job {path}")
    return figures(job, events)


class Event(NamedTuple):
    """What a child said, and the wall time, its CPU time and its peak memory then."""

    text: str
    wall: float
    cpu: float
    peak_gb: float


def figures(job: Job, events: list[Event]) -> Figures:
    """From a child's events to the arm's figures."""
    from autoif.training.chat import load_chat
    from autoif.training.data import load_data

    data = load_data(job, load_chat(Path(job.start)))
    steps = [event for event in events if event.text.startswith("step ")]
    wall = statistics.median(b.wall - a.wall for a, b in pairwise(steps))
    cpu = statistics.median(b.cpu - a.cpu for a, b in pairwise(steps))
    marks = {event.text: event for event in events}
    if "reference" in marks:
        wall += (marks["ready"].wall - marks["reference"].wall) / len(steps)
        cpu += (marks["ready"].cpu - marks["reference"].cpu) / len(steps)
    tokens = sum(data.lengths) / len(data.ids) * job.training.global_batch_size
    losses = [float(event.text.rpartition(" ")[2]) for event in steps]
    return Figures(
        tokens_per_second=round(tokens / wall, 1),
        tokens_per_cpu_second=round(tokens / cpu, 1),
        step_seconds=round(wall, 3),
        peak_gb=round(steps[-1].peak_gb, 2),
        losses=losses,
    )


def _cpu_seconds(pid: int) -> float:
    """User and system time of a living process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_gb(pid: int) -> float:
    """Peak resident memory of a living process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e9


def table(results: dict[str, dict[str, Figures]]) -> str:
    """Markdown, ratios to ours."""
    lines = ["| algorithm | arm | tokens/s | ours | tokens/CPU-s | ours | peak GB | losses |", "|" + "---|" * 8]
    for algorithm, arms in results.items():
        ours = arms["ours"]
        for name, f in arms.items():
            wall = f"{f.tokens_per_second} | {ours.tokens_per_second / f.tokens_per_second:.2f}×"
            cpu = f"{f.tokens_per_cpu_second} | {ours.tokens_per_cpu_second / f.tokens_per_cpu_second:.2f}×"
            losses = f"{f.losses[0]:.3f}, {f.losses[-1]:.3f}"
            lines.append(f"| {algorithm} | {name} | {wall} | {cpu} | {f.peak_gb} | {losses} |")
    return "\n".join(lines)


def _ours(job: Job) -> None:
    from autoif.training.run import run

    run(job)


def _trl(job: Job, tuned: bool = False) -> None:
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
    data = Dataset.from_list(list(_trl_rows(job)))
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


def _trl_rows(job: Job) -> Any:
    from autoif.records import read_records

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


_ARMS: dict[str, Callable[[Job], None]] = {"ours": _ours, "trl": _trl, "trl_tuned": lambda job: _trl(job, tuned=True)}

if __name__ == "__main__":
    sys.exit(main())
