"""Kill -9 at any moment, run again: the same datasets byte for byte, and no finished model call is made again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from teacher import SEEDS, Teacher

from autoif.border import load
from autoif.errors import ConfigError
from autoif.generation.cache import FILE_NAME, CallCache
from autoif.generation.openai_replies import sample_seed
from autoif.pipeline import build
from autoif.store import Store
from autoif.tasks import dispatch

ROOT = Path(__file__).parents[2]
DATASETS = ("sft_dataset", "preference_dataset")

SYNTHESIZE = """
import sys
from pathlib import Path
from autoif.border import load
from autoif.engines import Engines
from autoif.pipeline import build
from autoif.records import TrainStep
from autoif.stage import run_stage
from autoif.store import Store

config = load(sys.argv[1:])
done = set()
with Engines(config) as engines:
    for stage in build(config):
        if stage.record is not TrainStep and done.issuperset(source.title for source in stage.inputs):
            run_stage(stage, Store(Path(config.paths.store)), engines)
            done.add(stage.title)
"""
"""Every stage of the graph that needs no trained model."""


class Run:
    """A run in a folder of its own, in processes of its own."""

    def __init__(self, folder: Path, supervisor: list[str], *settings: str) -> None:
        folder.mkdir()
        seeds = folder / "seeds.txt"
        seeds.write_text("\n".join(SEEDS))
        self.overrides = [
            *supervisor,
            "algorithm=offline_dpo_demo",
            "evaluation=none",
            f"model.path={model(folder)}",
            f"pipeline.self_instruct.seeds={seeds}",
            "pipeline.self_instruct.rewrites_per_seed=1",
            "pipeline.self_instruct.per_call=1",
            "pipeline.write_verifiers.samples=3",
            "pipeline.queries.per_instruction=2",
            "pipeline.respond.samples=3",
            f"paths.store={folder}/store",
            f"paths.cache={folder}/cache",
            *settings,
        ]
        self.cache = folder / "cache" / FILE_NAME
        self.store = Store(folder / "store")

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SYNTHESIZE, *self.overrides]
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def finish(self) -> None:
        process = self.start()
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors

    def manifests(self):
        stages = [stage.entry(self.store) for stage in build(load(self.overrides))]
        return {entry.stage: entry.manifest() for entry in stages if entry.done}

    def rows(self):
        """Bytes of what every stage kept and dropped."""
        entries = [stage.entry(self.store) for stage in build(load(self.overrides))]
        return {e.stage: (e.records_path.read_bytes(), e.rejected_path.read_bytes()) for e in entries if e.done}

    def finished_calls(self):
        """Calls whose answers were stored, as the server tells them apart."""
        if not self.cache.exists():
            return set()
        cache = CallCache(self.cache)
        rows = [row for engine in cache.engines() for row in cache.rows(engine)]
        cache.close()
        return {(request.messages[-1].content, sample_seed(request)) for _, request, _ in rows}


def model(folder: Path) -> Path:
    """A folder that stands for a model: nothing here loads it."""
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    return folder / "model"


def live(teacher: Teacher) -> list[str]:
    return [
        "supervisor=openai",
        "supervisor.model=teacher",
        f"supervisor.base_url={teacher.url}",
        "supervisor.concurrency=3",
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nobody killed, recorded, and how many calls it took."""
    folder, teacher = tmp_path_factory.mktemp("runs"), Teacher(delay=0)
    recording = folder / "recording.jsonl.xz"
    run = Run(folder / "undisturbed", live(teacher), "execution.workers=2", f"supervisor.record={recording}")
    run.finish()
    teacher.close()
    return run, recording, teacher.received


def test_the_run_keeps_and_drops_at_every_filter(undisturbed):
    run, _, received = undisturbed
    manifests = run.manifests()
    for stage in ("self_instruct", "write_verifiers", "cross_verify", "nli_filter", "verify_responses", "score"):
        assert manifests[stage].kept > 0
        assert sum(manifests[stage].rejected.values()) > 0, stage
    for stage in DATASETS:
        assert manifests[stage].kept >= 10
    assert set(received.values()) == {1}


def test_upstream_fault_11_killed_at_several_points_it_ends_with_the_same_bytes_and_repeats_no_finished_call(
    undisturbed, tmp_path
):
    whole, _, calls = undisturbed
    teacher = Teacher()
    run = Run(tmp_path / "killed", live(teacher), "execution.workers=1")
    for share in (0.02, 0.4, 0.75, 0.97):
        before, asked = run.finished_calls(), teacher.received.copy()
        point = teacher.at(asked.total() + max(1, int(share * calls.total()) - asked.total()))
        process = run.start()
        assert point.wait(timeout=240), process.poll()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=300)
        assert not [call for call in before if teacher.received[call] != asked[call]]
    before, asked = run.finished_calls(), teacher.received.copy()
    assert len(before) > 0.7 * calls.total()
    run.finish()
    teacher.close()
    assert not [call for call in before if teacher.received[call] != asked[call]]
    assert run.rows() == whole.rows()
    # Only what was on its way when the process died was asked for twice.
    assert teacher.received.total() - calls.total() <= 4 * 3


def test_a_second_run_asks_nothing_and_changes_nothing(undisturbed):
    run, *_ = undisturbed
    before = {path: path.stat().st_mtime_ns for path in run.store.root.rglob("*.json*")}
    run.finish()  # its server is gone
    assert {path: path.stat().st_mtime_ns for path in run.store.root.rglob("*.json*")} == before


def test_the_finished_sets_are_exported(undisturbed, tmp_path, capsys):
    run, *_ = undisturbed
    dispatch(load([*run.overrides, "task=export", "task.format=datasets", f"paths.runs={tmp_path}"]))
    folder = tmp_path / "demo" / "export" / "datasets"
    kept = {stage: run.manifests()[stage].kept for stage in DATASETS}
    assert len((folder / "data" / "sft.jsonl").read_text().splitlines()) == kept["sft_dataset"]
    assert len((folder / "data" / "preference.jsonl").read_text().splitlines()) == kept["preference_dataset"]
    assert "| verify_responses |" in (folder / "README.md").read_text()
    assert f"sft.jsonl: {kept['sft_dataset']} rows" in capsys.readouterr().out


def test_a_run_without_a_training_set_has_nothing_to_export(undisturbed, tmp_path):
    run, *_ = undisturbed
    with pytest.raises(ConfigError, match=r"has no training set in \S+ yet: run it first, with the same settings"):
        dispatch(load([*run.overrides, "task=export", f"paths.store={tmp_path}"]))


def test_the_recording_of_the_run_replays_to_the_same_bytes(undisturbed, tmp_path):
    whole, recording, _ = undisturbed
    run = Run(tmp_path / "replayed", ["supervisor=recorded", f"supervisor.path={recording}"], "execution.workers=1")
    run.finish()
    assert run.rows() == whole.rows()


def test_a_prompt_the_recording_does_not_hold_is_one_line_and_leaves_nothing_whole(undisturbed, tmp_path):
    _, recording, _ = undisturbed
    settings = ["supervisor=recorded", f"supervisor.path={recording}"]
    run = Run(tmp_path / "missing", settings, "pipeline.respond.temperature=0.7")
    process = run.start()
    errors = process.communicate(timeout=300)[1]
    assert process.returncode != 0
    assert "RecordingMissError" in errors.splitlines()[-1]
    assert "use a live supervisor" in errors.splitlines()[-1]
    assert "respond" not in run.manifests()
    assert "attach_queries" in run.manifests()
