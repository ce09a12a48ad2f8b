"""Sweeps in real processes: what two points want is made once, a death is one point's, a killed sweep goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "experiments/recordings/demo.jsonl.xz"

TWO_WANT_ONE = """
import os, sys, time
from pathlib import Path
from autoif.records import Query
from autoif.stage import Stage, run_stage
from autoif.store import Store

def work(context):
    with open(sys.argv[2], "a") as log:
        log.write(f"{os.getpid()}\\n")
    time.sleep(1.5)
    yield Query(id="1", text="once", source="test")

manifest = run_stage(Stage("slow", Query, work), Store(Path(sys.argv[1])), None)
print(manifest.kept)
"""


def test_two_processes_that_want_a_stage_make_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO_WANT_ONE, f"{tmp_path}/store", f"{tmp_path}/log"]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=-1, stderr=-1, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    (worker,) = (tmp_path / "log").read_text().split()
    assert [out for out, _ in said] == ["1\n", "1\n"]
    (waited,) = (err for _, err in said if err)
    assert re.fullmatch(rf"slow: process {worker} on \S+ is making it; waiting\n", waited)


def sweep(folder: Path, *more: str) -> list[str]:
    """Three points that only make data; all but the last stages are shared."""
    small = ["algorithm=none", "evaluation=none", "pipeline.self_instruct.limit=8", f"supervisor.path={RECORDING}"]
    places = [f"paths.{name}={folder}/{name}" for name in ("store", "runs", "cache")]
    swept = "pipeline.sft_dataset.per_prompt=1,2,3"
    return [sys.executable, str(ROOT / "run.py"), "-m", *small, *places, swept, *more]


def manifests(folder: Path) -> dict[str, int]:
    """Finished stages and when they were."""
    return {str(path): path.stat().st_mtime_ns for path in folder.glob("store/*/*/manifest.json")}


def points_of(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of the points that run below ``process``, launchers' workers between them included."""
    parents: dict[int, int] = {}
    points = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if b"autoif.point" in entry.joinpath("cmdline").read_bytes():
                points.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in points if process.pid in _ancestors(pid, parents)]


def _ancestors(pid: int, parents: dict[int, int]) -> list[int]:
    found = []
    while pid := parents.get(pid, 0):
        found.append(pid)
    return found


def first_point(process: subprocess.Popen[str]) -> int:
    deadline = time.monotonic() + 90
    while not (found := points_of(process)):
        assert process.poll() is None, "the sweep ended without a point"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found[0]


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_point_that_dies_hard_leaves_the_others_alone(tmp_path: Path, launcher: str) -> None:
    more = [] if launcher == "basic" else ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    process = subprocess.Popen(sweep(tmp_path, *more), cwd=tmp_path, stdout=-1, stderr=-1, text=True)
    os.kill(first_point(process), signal.SIGKILL)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "2 of 3 points finished" in out
    assert re.search(r"demo/\S+ failed: its process was ended by SIGKILL, most likely for memory", err)
    again = subprocess.run(sweep(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=180, check=True)
    assert "2 of them finished before" in again.stdout
    assert "3 of 3 points finished" in again.stdout


def test_a_killed_sweep_does_nothing_finished_again(tmp_path: Path) -> None:
    process = subprocess.Popen(sweep(tmp_path), cwd=tmp_path, stdout=subprocess.DEVNULL, text=True)
    point = first_point(process)
    while len(manifests(tmp_path)) < 6:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{point}/cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # a point does not outlive its sweep
    before = manifests(tmp_path)
    done = subprocess.run(sweep(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=180, check=True)
    after = manifests(tmp_path)
    assert "3 of 3 points finished" in done.stdout
    assert before.items() <= after.items()
    assert len(after) > len(before) >= 6
    third = subprocess.run(sweep(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "3 of them finished before" in third.stdout
    assert manifests(tmp_path) == after
