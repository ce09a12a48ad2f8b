"""Ours beside TRL on one machine: ``python -m autoif.training.bench --model FOLDER [--json]``.

Arms: ``ours`` as it runs in production; ``trl``: its trainer out of the box, in the same precision; ``trl_tuned``:
no activation checkpointing, batches of similar length, stored reference log-probabilities. Same model, rows, global
batch, micro-batch, threads and precision. Each arm is a process; rounds alternate; figures are medians.

A step's cost is the median over all steps but the first, plus the reference pass spread over the steps. Tokens are
those of the sequences, prompts included, a pair's prompt counted twice: what is computed is each arm's own affair.
CPU seconds are given beside wall time because other processes on the machine do not distort them.

``--keep FILE`` goes on from the measurements of earlier calls, so that a long one can be taken in pieces.
``--memory`` compares the peaks of ours alone: DPO beside SFT, with equal tokens in each micro-batch.
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
from typing import NamedTuple

import msgspec

from autoif.config import HardwareConfig, Techniques, TrainingConfig
from autoif.processes import die_with_parent
from autoif.records import Message, PreferencePair, Record, SftExample, write_records
from autoif.store import write_atomically
from autoif.training.job import Job, Preference, read_job
from autoif.training.launch import EVENT, environment

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
    parser.add_argument("--techniques", nargs="+", default=[], metavar="NAME", help="turn one of ours over: compile, …")
    parser.add_argument("--keep", type=Path, help="JSON file of measurements to go on from and add to")
    parser.add_argument("--memory", action="store_true", help="peak memory of DPO over SFT's")
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
    if options.memory:
        print(memory(options))
        return 0
    names = ["ours", "trl", "trl_tuned"] if find_spec("trl") else ["ours"]
    seen = kept(options.keep)
    for algorithm in options.algorithm:
        rounds(algorithm, options, names, seen.setdefault(algorithm, {}))
    results = {algorithm: {arm: middle(runs) for arm, runs in arms.items()} for algorithm, arms in seen.items()}
    print(json.dumps(msgspec.to_builtins(results), indent=1) if options.json else table(results))
    if "trl" not in names:
        print("TRL is not installed: ours alone (pip install trl)", file=sys.stderr)
    return 0


def kept(path: Path | None) -> dict[str, dict[str, list[Figures]]]:
    """The rounds of earlier calls, by algorithm and arm."""
    if path is None or not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, list[Figures]]])


def rounds(algorithm: str, options: argparse.Namespace, arms: list[str], seen: dict[str, list[Figures]]) -> None:
    """Measure the arms in turn, into ``seen``, until each has its rounds; every measurement is kept at once."""
    before = kept(options.keep)
    for arm in arms:
        seen.setdefault(arm, [])
    while len(seen[arm := min(arms, key=lambda name: len(seen[name]))]) < options.rounds:
        with tempfile.TemporaryDirectory() as folder:
            seen[arm].append(measure(arm, make_job(algorithm, options, Path(folder))))
        print(f"{algorithm} {arm}: {seen[arm][-1]}", file=sys.stderr, flush=True)
        if options.keep:
            write_atomically(options.keep, msgspec.json.encode({**before, algorithm: seen}))


def middle(runs: list[Figures]) -> Figures:
    """The median round by wall time; of an even number the slower of the two in the middle."""
    return sorted(runs, key=lambda f: f.tokens_per_second)[(len(runs) - 1) // 2]


def memory(options: argparse.Namespace) -> str:
    """Peak memory of DPO with stored reference log-probabilities over SFT's, at equal tokens in a micro-batch."""
    peaks = {}
    for algorithm, rows in (("sft", 1), ("dpo", 2)):
        half = argparse.Namespace(**vars(options) | {"batch": options.batch // rows, "micro": options.micro // rows})
        with tempfile.TemporaryDirectory() as folder:
            peaks[algorithm] = measure("ours", make_job(algorithm, half, Path(folder), spread=0.0)).peak_gb
    ratio = peaks["dpo"] / peaks["sft"]
    return f"peak memory: SFT {peaks['sft']} GB, DPO {peaks['dpo']} GB: {ratio:.2f}×"


def make_job(algorithm: str, options: argparse.Namespace, folder: Path, spread: float = 1.0) -> Job:
    """One epoch over random rows with about the lengths that AutoIF's data has; ``spread`` 0 makes them all alike."""
    rows = rows_of(algorithm, options.batch * options.steps, spread)
    write_records(folder / "rows.jsonl", rows)
    model = str(Path(options.model).absolute())
    return Job(
        data=str(folder / "rows.jsonl"),
        start=model,
        output=str(folder / "model"),
        work=str(folder),
        seed=0,
        training=TrainingConfig(learning_rate=1e-5, global_batch_size=options.batch, epochs=1, max_length=1024),
        hardware=HardwareConfig(
            name="bench",
            micro_batch_size=options.micro,
            threads=options.threads,
            techniques=Techniques(**{name: not getattr(Techniques(), name) for name in options.techniques}),
        ),
        preference=Preference(beta=0.1, nll_weight=0.0, reference=model) if algorithm == "dpo" else None,
    )


def rows_of(algorithm: str, count: int, spread: float = 1.0, seed: int = 0) -> list[Record]:
    """Prompts of 20..60 words, answers of 40..260: skewed, as answers are; with ``spread`` 0 all of the mean length."""
    source = random.Random(seed)

    def text(low: int, high: int) -> str:
        share = 1 / 3 + spread * (source.random() ** 2 - 1 / 3)
        return " ".join(source.choices(WORDS, k=int(low + (high - low) * share)))

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
    from autoif.training.bench_trl import train

    train(job, tuned)


_ARMS: dict[str, Callable[[Job], None]] = {"ours": _ours, "trl": _trl, "trl_tuned": lambda job: _trl(job, tuned=True)}

if __name__ == "__main__":
    sys.exit(main())
