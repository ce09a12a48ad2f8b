"""A sweep as arrays of Slurm jobs, one for each hardware profile among its points, through submitit.

A job is a point. It asks for what its profile says (``autoif/training/slurm.py``), is told before its time is up,
queues itself again and goes on from what is in the store. The command waits for all jobs; a job that dies without a
word is noticed in the queue, so no accounting (``sacct``) is needed.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoif.config import HardwareConfig, RunConfig
from autoif.errors import ConfigError, MissingExtraError
from autoif.point import run_in_child
from autoif.points import Point
from autoif.training.slurm import GRACE_SECONDS, resources

POLL_SECONDS = 5.0

_NAMES = {"timeout_min": "time", "name": "job_name", "tasks_per_node": "ntasks_per_node", "mem_gb": "mem"}
"""Settings of ``hydra.launcher`` that submitit's own executor calls otherwise."""

_OURS = {"_target_", "submitit_folder", "max_num_timeout", "gpus_per_node"}


class RunInJob:
    """What a job runs; submitit calls :meth:`checkpoint` when the job's time is up."""

    def __call__(self, config: RunConfig) -> str | None:
        return run_in_child(config)

    def checkpoint(self, config: RunConfig) -> Any:
        """The same again: finished stages are found, training goes on from its last checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, config)


@dataclass(slots=True)
class _Job:
    """A submitted point. ``gone``: polls in which the queue did not know it any more."""

    point: Point
    handle: Any
    gone: int = 0


def run_array(todo: Sequence[Point], folder: Path, typed: Mapping[str, Any]) -> list[str | None]:
    """Submit ``todo`` and wait; for each point None, or why it failed. ``typed``: settings of ``hydra.launcher`` from
    the command line, which win over the profile's.

    Raises:
        ConfigError: when Slurm does not take the jobs.
    """
    groups: dict[str, list[Point]] = {}
    for point in todo:
        groups.setdefault(repr(point.config.hardware), []).append(point)
    jobs = [job for points in groups.values() for job in _submit(points, folder, typed)]
    waiting = {id(job.point): job for job in jobs}
    reasons: dict[int, str | None] = {}
    try:
        while waiting:
            for job, reason in _ended(list(waiting.values())):
                del waiting[id(job.point)]
                reasons[id(job.point)] = reason
                state = "failed" if reason else "finished"
                print(f"{job.point.config.name} {state} ({len(reasons)} of {len(jobs)})", flush=True)
            if waiting:
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        ids = sorted({job.handle.job_id.split("_")[0] for job in waiting.values()})
        print(f"the jobs go on; to end them: scancel {' '.join(ids)}", file=sys.stderr)
        raise
    return [reasons[id(point)] for point in todo]


def parameters(hardware: HardwareConfig, typed: Mapping[str, Any]) -> dict[str, Any]:
    """What submitit's Slurm executor is given for one point on ``hardware``."""
    slurm = hardware.slurm
    asked: dict[str, Any] = {name.replace("-", "_"): value for name, value in resources(hardware).items()}
    asked["time"] = max(1, round(slurm.hours * 60))
    own = {_NAMES.get(name, name): value for name, value in typed.items() if name not in _OURS and value is not None}
    if "mem_gb" in typed:
        own["mem"] = f"{typed['mem_gb']}GB"
    more = dict(own.pop("additional_parameters", {}))
    return {
        "job_name": "autoif",
        "array_parallelism": slurm.parallel,
        "setup": list(slurm.setup) or None,
        "stderr_to_stdout": True,
        **{name: int(value) if str(value).isdigit() and name != "mem" else value for name, value in asked.items()},
        **own,
        # The point itself starts steps on all nodes; the job's own process is the batch script's (see _submit).
        "use_srun": False,
        "signal_delay_s": GRACE_SECONDS,
        "additional_parameters": {"signal": f"B:USR2@{GRACE_SECONDS}", "requeue": True, **more},
    }


def _submit(points: Sequence[Point], folder: Path, typed: Mapping[str, Any]) -> list[_Job]:
    try:
        import submitit
    except ImportError:
        raise MissingExtraError("submitit", "sweep") from None
    hardware = points[0].config.hardware
    try:
        # ``exec``: signals to the batch script reach Python.
        executor = submitit.SlurmExecutor(
            folder=folder, max_num_timeout=hardware.slurm.requeues, python=f"exec {shlex.quote(sys.executable)}"
        )
        executor.update_parameters(**parameters(hardware, typed))
        handles = executor.map_array(RunInJob(), [point.config for point in points])
    except (RuntimeError, OSError, ValueError, submitit.core.utils.FailedJobError) as error:
        line = " ".join(str(error).split())[-300:]
        raise ConfigError(f"Slurm did not take the sweep: {line or type(error).__name__}") from None
    first = handles[0].job_id.split("_")[0]
    count = f"{len(points)} point{'' if len(points) == 1 else 's'}"
    print(f"{count} submitted as Slurm job {first} ({hardware.name}); logs: {folder}", flush=True)
    return [_Job(point, handle) for point, handle in zip(points, handles, strict=True)]


_LIVE = {
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETING",
    "CONFIGURING",
    "RESIZING",
    "SIGNALING",
    "STAGE_OUT",
    "STOPPED",
}
_LIVE |= {"STOPPED", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}


def _ended(jobs: Sequence[_Job]) -> Iterator[tuple[_Job, str | None]]:
    """Jobs that are over, each with why it failed. A requeued job has no result and is in the queue."""
    states = _queue(sorted({job.handle.job_id.split("_")[0] for job in jobs}))
    for job in jobs:
        if job.handle.paths.result_pickle.exists():
            yield job, _result(job)
            continue
        state, reason = ("RUNNING", "") if states is None else states.get(job.handle.job_id, ("", ""))
        if state in _LIVE:
            job.gone = 0
            continue
        job.gone += 1
        if job.gone > 2:  # a result may take a moment to be seen across a network file system
            what = f"Slurm job {job.handle.job_id} died" + (f": {state}" if state else "")
            what += f" ({reason})" if reason and reason != "None" else ""
            yield job, f"{what}; log: {job.handle.paths.stdout}"


def _result(job: _Job) -> str | None:
    """What the job left. submitit's own reading of it would ask the accounting first, and wait where there is none."""
    from submitit.core.utils import pickle_load

    outcome, result = pickle_load(job.handle.paths.result_pickle)
    if outcome == "success":
        return str(result) if result else None
    lines = [line.strip() for line in str(result).splitlines() if line.strip()]
    return f"{lines[-1] if lines else 'it ended without a word'}; log: {job.handle.paths.stdout}"


def _queue(ids: Sequence[str]) -> dict[str, tuple[str, str]] | None:
    """Job → its state and Slurm's reason, for those it still knows; None when it cannot be asked now."""
    found: dict[str, tuple[str, str]] = {}
    for number in ids:
        command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={number}", "--format=%i|%T|%r"]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if asked.returncode and "Invalid job id" not in asked.stderr:
            return None
        for line in asked.stdout.splitlines():
            name, state, reason = [*line.split("|"), "", ""][:3]
            found[name] = (state, reason)
    return found
