"""On a real Slurm: scripts are accepted, a sweep is an array, a dead point is one point, a requeued job goes on, and
two nodes train one model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import wait_for
from training_tiny import tiny_model

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "experiments/recordings/demo.jsonl.xz"

pytestmark = pytest.mark.slurm


def command(folder: Path, *more: str) -> list[str]:
    small = ["evaluation=none", "pipeline.self_instruct.limit=8", f"supervisor.path={RECORDING}"]
    places = [f"paths.{name}={folder}/{name}" for name in ("store", "runs", "cache")]
    return [sys.executable, str(ROOT / "run.py"), *small, *places, *more]


def run(line: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, env=environment, cwd=folder, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.parametrize(("model", "hardware"), [("qwen2_7b", "a100x8"), ("qwen2_72b", "h800x64")])
def test_slurm_accepts_the_scripts(slurm: dict[str, str], tmp_path: Path, model: str, hardware: str) -> None:
    chosen = [f"model={model}", f"hardware={hardware}", "algorithm=offline_dpo", "supervisor=gpt_4", "pipeline=paper"]
    places = [f"paths.{name}={tmp_path}/{name}" for name in ("store", "runs")]
    line = [sys.executable, str(ROOT / "run.py"), "task=plan", "launch=write", "evaluation=none", *chosen, *places]
    written = run(line, slurm, tmp_path)
    assert written.returncode == 0, written.stderr
    scripts = sorted((tmp_path / "runs/demo/launch").glob("*.sbatch"))
    assert [script.name for script in scripts] == ["run.sbatch", "train_dpo.sbatch", "train_sft.sbatch"]
    for script in scripts:
        tested = run(["sbatch", "--test-only", str(script)], slurm, tmp_path)
        assert tested.returncode == 0, tested.stderr
        nodes = "n[1-8]" if hardware == "h800x64" else "n1"
        assert f"nodes {nodes} in partition main" in tested.stderr


def test_the_script_of_a_whole_run_runs_it_and_queues_itself_again(slurm: dict[str, str], tmp_path: Path) -> None:
    line = command(tmp_path, "algorithm=none", "hardware=slurm_cpu", "task=plan", "launch=write")
    assert run(line, slurm, tmp_path).returncode == 0
    script = tmp_path / "runs/demo/launch/run.sbatch"
    job = run(["sbatch", "--parsable", str(script)], slurm, tmp_path).stdout.strip()
    wait_for(lambda: list(tmp_path.glob("store/queries/*/manifest.json")), 120, "the first stages")
    # Slurm sends this when the time limit is near.
    run(["scancel", "--signal=USR1", "--batch", job], slurm, tmp_path)

    def over() -> bool:
        return "JobState=COMPLETED" in shown(job, slurm)

    wait_for(lambda: over() or _queued_again(job, slurm), 60, "the job's own requeue")
    if _queued_again(job, slurm):
        run(["scontrol", "update", f"JobId={job}", "StartTime=now"], slurm, tmp_path)
        wait_for(over, 180, "the end of the requeued job")
        assert "found in the store" in (script.parent / f"demo-{job}.log").read_text()
    assert list(tmp_path.glob("store/preference_dataset/*/manifest.json"))
    assert (tmp_path / "runs/demo/report.html").exists()


def _queued_again(job: str, environment: dict[str, str]) -> bool:
    return all(word in shown(job, environment) for word in ("Restarts=1", "JobState=PENDING"))


DIES = """
import os, signal
from pathlib import Path
once = Path(os.environ["DIED"])
if os.environ.get("SLURM_ARRAY_TASK_ID") == "1" and not once.exists():
    once.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_sweep_is_an_array_and_a_dead_job_is_one_point(slurm: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES)
    environment = {**slurm, "PYTHONPATH": str(tmp_path), "DIED": f"{tmp_path}/died"}
    swept = "pipeline.sft_dataset.per_prompt=1,2,3"
    line = command(tmp_path, "-m", "algorithm=none", "hardware=slurm_cpu", swept)
    first = run(line, environment, tmp_path)
    assert first.returncode == 1, first.stderr
    assert re.search(r"3 points submitted as Slurm job (\d+) \(slurm_cpu\)", first.stdout)
    assert "2 of 3 points finished" in first.stdout
    assert re.search(r"per_prompt=2 failed: Slurm job \d+_1 died: FAILED \(.*\); log: /", first.stderr)
    again = run(line, environment, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "2 of them finished before" in again.stdout
    assert "1 point submitted" in again.stdout
    assert "3 of 3 points finished" in again.stdout


def test_two_nodes_train_and_a_requeued_job_goes_on(slurm: dict[str, str], tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "tiny", hidden_size=64, intermediate_size=256)
    settings = ["algorithm=sft_demo", f"model.path={model}", "model.context_length=512"]
    steps = ["algorithm.sft.epochs=60", "algorithm.sft.save_every=5", "algorithm.sft.max_length=256"]
    nodes = ["hardware=slurm_cpu", "hardware.nodes=2", "hardware.strategy=ddp", "hardware.threads=1"]
    line = command(tmp_path, "-m", *settings, *steps, *nodes)
    with (tmp_path / "out").open("w") as out:
        sweep = subprocess.Popen(line, env=slurm, cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT, text=True)
    try:
        work = "store/train_sft/*/work"
        wait_for(lambda: list(tmp_path.glob(f"{work}/checkpoints/*/state*")) or sweep.poll(), 240, "a checkpoint")
        job = re.search(r"as Slurm job (\d+)", (tmp_path / "out").read_text())[1]  # type: ignore[index]
        subprocess.run(["scancel", "--signal=USR2", "--batch", job], env=slurm, check=True)
        wait_for(lambda: all(w in shown(job, slurm) for w in ("Restarts=1", "JobState=PENDING")), 60, "the requeue")
        # Slurm holds a requeued job for two minutes.
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], env=slurm, check=True)
        assert sweep.wait(300) == 0, (tmp_path / "out").read_text()
    finally:
        sweep.kill()
    (manifest,) = tmp_path.glob("store/train_sft/*/manifest.json")
    facts = json.loads(manifest.read_text())["facts"]
    assert (facts["processes"], facts["strategy"]) == (2, "ddp")
    assert facts["resumed_from_step"] >= 5
    assert "1 of 1 points finished" in (tmp_path / "out").read_text()


def shown(job: str, environment: dict[str, str]) -> str:
    """What Slurm says of a job."""
    asked = subprocess.run(
        ["scontrol", "show", "job", "-o", job], env=environment, capture_output=True, text=True, check=False
    )
    return asked.stdout
