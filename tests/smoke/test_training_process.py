"""Training as its own process: real kills, errors in one line, no orphans, torch left to the child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from training_tiny import sft_job, sft_rows, tiny_model

from autoif.config import HardwareConfig, ModelConfig, TrainingConfig
from autoif.errors import DataError, EngineError
from autoif.records import SftExample, TrainStep, read_records
from autoif.stage import Context, Rows, Stage, run_stage
from autoif.store import Store
from autoif.training import checkpoints
from autoif.training.commands import start
from autoif.training.job import Job, read_job
from autoif.training.launch import launch
from autoif.training.main import explain
from autoif.training.stages import TrainStageConfig, train_sft

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


def wait_for(condition: Any, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.005)


def alive(marker: str) -> list[int]:
    """Processes whose command line names ``marker``."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and marker.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_kill_9_of_the_parent_takes_the_child_along_and_the_next_run_ends_in_the_same_bytes(
    base: Path, tmp_path: Path
) -> None:
    from autoif.training.run import run

    settings = {"rows": 40, "epochs": 6, "save_every": 7}
    whole = sft_job(tmp_path / "whole", base, **settings)
    run(whole)
    job = sft_job(tmp_path / "killed", base, **settings)
    job.save(tmp_path / "start.json")
    script = (
        "import sys; from pathlib import Path; from autoif.training.launch import launch;"
        "from autoif.training.job import read_job; list(launch(read_job(Path(sys.argv[1])), {}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "start.json")], cwd=ROOT)
    marker = str(Path(job.work) / "job.json")
    try:
        wait_for(lambda: job.curve.exists() and job.curve.read_bytes().count(b"\n") >= 16)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    wait_for(lambda: not alive(marker), 20)
    assert not job.result.exists()
    assert not Path(job.output).exists()
    facts: dict[str, Any] = {}
    rows = list(launch(job, facts))
    assert facts["resumed_from_step"] >= 14
    assert rows == list(read_records(whole.curve, TrainStep))
    weights = "model.safetensors"
    assert (Path(job.output) / weights).read_bytes() == (Path(whole.output) / weights).read_bytes()
    assert not list(checkpoints.folder(job).glob("*.part"))
    before = job.curve.stat().st_mtime_ns
    assert list(launch(job, {})) == rows
    assert job.curve.stat().st_mtime_ns == before


def test_a_failure_in_the_child_is_one_line_here(base: Path, tmp_path: Path) -> None:
    job = msgspec.structs.replace(sft_job(tmp_path, base), start=str(tmp_path / "nowhere"))
    with pytest.raises(EngineError, match="nowhere") as caught:
        list(launch(job, {}))
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def stage_context(tmp_path: Path, start: Path) -> Context:
    config = TrainStageConfig(
        training=TrainingConfig(global_batch_size=4, epochs=1, max_length=256),
        model=ModelConfig(name="tiny", path=str(start)),
        hardware=HardwareConfig(name="test", micro_batch_size=4, threads=1),
        cache=str(tmp_path / "cache"),
    )
    files, work = tmp_path / "files", tmp_path / "work"
    files.mkdir()
    work.mkdir()
    return Context(config, None, files, work)  # type: ignore[arg-type]


def rows_of(tmp_path: Path, rows: list[SftExample]) -> Rows[SftExample]:
    """``rows`` as the output of a finished stage."""
    stage = Stage("given", SftExample, lambda context: iter(rows))
    store = Store(tmp_path / "store")
    run_stage(stage, store, None)  # type: ignore[arg-type]
    return Rows(stage.entry(store), SftExample)


def test_a_stage_trains_and_leaves_curve_facts_and_model(base: Path, tmp_path: Path) -> None:
    context = stage_context(tmp_path, base)
    steps = list(train_sft(context, rows_of(tmp_path, sft_rows(6))))
    assert [step.step for step in steps] == [1, 2]
    assert (context.files / "model" / "model.safetensors").exists()
    assert context.facts["tokens_per_second"] > 0
    assert context.facts["steps"] == 2


def test_nothing_to_train_on_is_said_in_one_line(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no SFT examples"):
        list(train_sft(stage_context(tmp_path, base), rows_of(tmp_path, [])))


def test_stages_and_launcher_never_import_torch() -> None:
    code = "import sys, autoif.training.stages; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_out_of_memory_says_what_to_change(base: Path, tmp_path: Path) -> None:
    line = explain(sft_job(tmp_path, base), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert "micro_batch_size" in line
    assert "max_length" in line
    assert "\n" not in line


def test_several_devices_become_torchrun_on_the_resolved_job(base: Path, tmp_path: Path) -> None:
    job = sft_job(tmp_path, base)
    many = msgspec.structs.replace(job, hardware=HardwareConfig(name="8", devices=8, micro_batch_size=1))
    command = start(many.hardware, str(tmp_path / "job.json"), {})
    assert command is not None
    assert command[1:3] == ["-m", "torch.distributed.run"]
    assert "--nproc-per-node=8" in command
    assert "--standalone" in command
    assert command[-2:] == ["autoif.training.main", str(tmp_path / "job.json")]


def test_a_job_file_reads_back_as_it_was_written(base: Path, tmp_path: Path) -> None:
    job = sft_job(tmp_path, base)
    job.save(tmp_path / "job.json")
    assert read_job(tmp_path / "job.json") == job
    assert isinstance(read_job(tmp_path / "job.json"), Job)
