"""The training process: ``python -m autoif.training.main job.json``. One job, one process (or torchrun's ranks).

Errors for people go to the job's ``error.txt``; everything else is in the log that the parent keeps.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

from autoif.errors import AutoifError
from autoif.processes import PARENT, die_with_parent
from autoif.training.commands import STEP, start
from autoif.training.job import Job, read_job


def main(arguments: list[str]) -> int:
    """Run the job; exit code 0, or 1 with ``error.txt`` written."""
    die_with_parent()
    path = Path(arguments[0])
    job = read_job(path)
    try:
        if command := start(job.hardware, str(path), os.environ):
            become(command)
        from autoif.training.run import run

        run(job)
        return 0
    except AutoifError as error:
        kind, message = ("DataError" if type(error).__name__ == "DataError" else "EngineError"), str(error)
    except Exception as error:
        traceback.print_exc()
        kind, message = "EngineError", explain(job, error)
    if not job.error.exists():
        job.error.write_text(f"{kind}: {message}")
    return 1


def explain(job: Job, error: Exception) -> str:
    """One line for an error that is not one of ours."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return (
            f"out of memory in training ({text[:120]}): set hardware.micro_batch_size below "
            f"{job.hardware.micro_batch_size}, training max_length below {job.training.max_length}, "
            "hardware.activation_checkpointing=true, or a higher ZeRO stage"
        )
    if isinstance(error, OSError) and error.strerror:
        return f"training cannot write ({error.strerror}: {error.filename}): free space there, then run again"
    return f"training failed with {type(error).__name__}: {text[:300]}"


def become(command: list[str]) -> None:
    """Turn into ``command``. An srun is asked to stop when the parent ends, so that it takes its tasks along; they are
    no children of that parent."""
    if command[0] == "srun":
        die_with_parent(signal.SIGTERM)
        os.environ[STEP] = "1"
        os.environ.pop(PARENT, None)
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
