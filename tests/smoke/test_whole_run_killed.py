"""The whole run, training included: killed in every kind of stage, it ends with the same rows and the same weights."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOMENTS = ["self_instruct/*", "cross_verify/*", "train_sft/*/work", "sample/*", "train_dpo/*/work", "answer_heldout/*"]
"""What stands in the store when the run is killed."""


def command(folder):
    places = [f"paths.{name}={folder}/{name}" for name in ("store", "runs", "cache")]
    return [sys.executable, "run.py", "experiment=smoke", *places]


def finish(folder):
    done = subprocess.run(command(folder), cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill_at(folder, moment):
    """Start the run and kill it, and it alone, as soon as ``moment`` has come."""
    process = subprocess.Popen(command(folder), cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 600
    while not list((folder / "store").glob(moment)):
        assert process.poll() is None, f"the run ended before {moment}"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def made(folder):
    """Hashes of all rows and weights in the store."""
    names = ("records.jsonl", "rejected.jsonl", "model.safetensors")
    files = [path for name in names for path in (folder / "store").rglob(name)]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_a_run_killed_in_every_kind_of_stage_ends_like_one_that_was_not(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(whole)
    for moment in MOMENTS:
        kill_at(killed, moment)
    finish(killed)
    assert made(killed) == made(whole)
    assert "train_sft" in finish(killed)
