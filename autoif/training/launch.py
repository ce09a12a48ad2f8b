"""Start a training job as a process of its own and follow it: progress, errors in one line, no orphans.

The child is ``python -m autoif.training.main job.json``; for several devices it turns itself into torchrun. It dies
with this process, whatever kills it. Never imports torch.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from autoif.config import Accelerator
from autoif.errors import AutoifError, DataError, EngineError
from autoif.processes import PARENT
from autoif.progress import track
from autoif.records import TrainStep, read_records
from autoif.training.job import Job

EVENT = "@autoif "
"""Prefix of the child's event lines: ``total 120`` (steps to do), ``reference`` (that pass begins), ``ready``, and
after each step ``step 7 loss 1.25``."""

_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
"""glibc returns large blocks to the kernel at once, and a training step would fault all its pages in again each
time; keeping them makes a CPU step much faster and changes no result."""


def launch(job: Job, facts: dict[str, Any]) -> Iterator[TrainStep]:
    """Run ``job`` (or take it up where it was killed) and yield its curve; ``facts`` receives what it measured.

    Raises:
        EngineError, DataError: with the child's reason in one line.
    """
    if not (job.result.exists() and Path(job.output).exists()):
        Path(job.work).mkdir(parents=True, exist_ok=True)
        job.result.unlink(missing_ok=True)
        path = Path(job.work) / "job.json"
        job.save(path)
        _follow(job, [sys.executable, "-m", "autoif.training.main", str(path)])
    facts.update(msgspec.json.decode(job.result.read_bytes()))
    yield from read_records(job.curve, TrainStep)


def environment(job: Job, base: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: ``base``, the allocator's settings on CPUs, and quiet libraries."""
    values = {
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONUNBUFFERED": "1",
    }
    if job.hardware.accelerator is Accelerator.cpu:
        values |= _ALLOCATOR | {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), base.get("PYTHONPATH", "")]))
    return {**base, **{k: v for k, v in values.items() if k not in base}, "PYTHONPATH": path}


def _follow(job: Job, command: list[str]) -> None:
    """Run the child to its end; its output goes to ``train.log``, its events to the progress bar."""
    job.error.unlink(missing_ok=True)
    log_path = Path(job.work) / "train.log"
    tail: deque[str] = deque(maxlen=20)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment(job, os.environ), PARENT: str(os.getpid())},
        start_new_session=True,
        text=True,
        errors="replace",
    )
    try:
        for _ in track_steps(_events(child, log_path, tail), f"train_{job.algorithm}"):
            pass
        code = child.wait()
    finally:
        _end(child, spans_nodes=job.hardware.nodes > 1)
    if code:
        raise _failure(job, code, tail, log_path)


def _events(child: subprocess.Popen[str], log_path: Path, tail: deque[str]) -> Iterator[str]:
    assert child.stdout is not None
    with log_path.open("a") as log:
        for line in child.stdout:
            if line.startswith(EVENT):
                yield line[len(EVENT) :].strip()
            else:
                log.write(line)
                log.flush()
                if line.strip():
                    tail.append(line.strip())


def track_steps(events: Iterator[str], label: str) -> Iterator[str]:
    """Consume events; a bar counts optimizer steps as soon as their total is known."""
    for event in events:
        if event.startswith("total "):
            yield from track((e for e in events if e.startswith("step ")), label, total=int(event[6:]), unit="step")


def _end(child: subprocess.Popen[str], spans_nodes: bool) -> None:
    """Kill what is left of the child's process group (it is a session of its own). What runs on other nodes ends when
    its srun is asked to stop, not when that is killed."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        if spans_nodes and child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(timeout=10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _failure(job: Job, code: int, tail: deque[str], log_path: Path) -> AutoifError:
    """The child's own line if it left one, else the last line it printed."""
    if job.error.exists():
        kind, _, message = job.error.read_text().partition(": ")
        return DataError(message) if kind == "DataError" else EngineError(message)
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return EngineError(
            f"training was killed, most likely for memory: set hardware.micro_batch_size below "
            f"{job.hardware.micro_batch_size}, training max_length below {job.training.max_length}, or "
            "hardware.activation_checkpointing=true, then run again: it goes on from the last checkpoint"
        )
    last = tail[-1] if tail else f"exit code {code}"
    return EngineError(f"training failed: {last} (log: {log_path})")
