"""Tracking: off does nothing; CSV, TensorBoard and W&B hold curves, funnel and results, once each."""

from __future__ import annotations

import csv
import json
import shutil
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from report_run import PlausibleRun, RunSize, plausible_run

from autoif.config import Tracking, TrackingConfig
from autoif.errors import ConfigError, DataError, MissingExtraError
from autoif.records import Result, TrainStep, encode
from autoif.stage import Stage, run_stage
from autoif.store import Entry, Manifest, Store
from autoif.tracking import Off, Tracker, once, run_id, slug, tracker, wandb_report
from autoif.tracking.once import Ledger, OnceTracker
from autoif.tracking.wandb_run import WandbTracker

OFFLINE = TrackingConfig(kind=Tracking.wandb, mode="offline")
CSV, BOARD = TrackingConfig(kind=Tracking.csv), TrackingConfig(kind=Tracking.tensorboard)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlausibleRun:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    return plausible_run(tmp_path, RunSize(instructions=12, heldout=8, steps=6)).run()


def track(config: TrackingConfig, run: PlausibleRun, stages: slice = slice(None)) -> None:
    with tracker(config, run.config) as tracking:
        track_all(tracking, run, stages)


def track_all(tracking: Tracker, run: PlausibleRun, stages: slice) -> None:
    for stage in run.stages[stages]:
        entry = stage.entry(run.store)
        manifest = entry.manifest()
        assert manifest is not None
        tracking.log_stage(stage, manifest, entry)


def parts(run: PlausibleRun) -> list[Path]:
    return sorted(Path(run.config.paths.runs).glob("*/wandb/offline-run-*/*.wandb"))


def blocks(path: Path) -> Iterator[bytes]:
    """Records of a ``.wandb`` file: LevelDB's log framing in 32 KiB blocks behind a header of 7 bytes."""
    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, at)
        body = data[at + 7 : at + 7 + length]
        assert checksum == zlib.crc32(body, zlib.crc32(bytes([kind])))
        at += 7 + length
        whole += body
        if kind in (1, 4):
            yield whole
            whole = b""


def read_back(path: Path) -> dict[str, Any]:
    """What the file of an ended run holds. W&B's own process writes it, and may lag behind ours."""
    deadline = time.monotonic() + 60
    while (found := held(path))["exit"] is None:
        assert time.monotonic() < deadline, "W&B has not written the end of the run"
        time.sleep(0.05)
    return found


def held(path: Path) -> dict[str, Any]:
    """What a run file holds: the run record, history rows, the last value of each summary key, artifacts."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, Any] = {"history": [], "summary": {}, "artifacts": {}, "config": {}, "exit": None}
    for block in blocks(path):
        record = Record()
        record.ParseFromString(block)
        match record.WhichOneof("record_type"):
            case "run":
                found["run"] = record.run
                found["config"] |= _values(record.run.config.update)
            case "history":
                found["history"].append(_values(record.history.item))
            case "summary":
                found["summary"] |= _values(record.summary.update)
            case "artifact":
                found["artifacts"][record.artifact.name] = record.artifact
            case "exit":
                found["exit"] = record.exit.exit_code
    return found


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_off_imports_no_wandb_and_accepts_stages(run: PlausibleRun) -> None:
    before = "wandb" in sys.modules
    track(TrackingConfig(), run)
    assert isinstance(tracker(TrackingConfig(), run.config), Off)
    assert ("wandb" in sys.modules) == before
    assert not list(Path(run.config.paths.runs).glob("*/wandb"))


def test_an_offline_run_read_back_holds_what_the_stages_found(run: PlausibleRun) -> None:
    pytest.importorskip("wandb")
    track(OFFLINE, run)
    (path,) = parts(run)
    found = read_back(path)
    assert found["run"].run_id == run_id(run.config)
    assert found["run"].run_group == "demo"
    assert found["run"].display_name == "demo"
    assert found["config"]["algorithm"]["iterations"] == 2
    losses = [row["train_sft/loss"] for row in found["history"] if "train_sft/loss" in row]
    curve = [json.loads(line) for line in run.stages[11].entry(run.store).records_path.read_text().splitlines()]
    assert losses == [row["loss"] for row in curve]
    steps = [row["train_dpo_2/step"] for row in found["history"] if "train_dpo_2/margin" in row]
    assert steps == [1, 2, 3]
    summary = found["summary"]
    assert summary["funnel/self_instruct/kept"] == 12
    assert summary["results/heldout/followed/online_dpo"] == 0.5
    assert summary["results/heldout/followed/online_dpo/n"] == 8
    assert summary["difference/heldout/followed/online_dpo"] == 0.125
    assert found["exit"] == 0
    assert found["artifacts"]["demo-sft_dataset"].type == "dataset"
    assert found["artifacts"]["demo-results"].type == found["artifacts"]["demo-comparisons"].type == "results"
    results = run.stages[-2].entry(run.store)
    assert set(found["artifacts"]["demo-results"].aliases) == {"latest", results.fingerprint}
    assert [entry.path for entry in found["artifacts"]["demo-results"].manifest.contents] == ["records.jsonl"]
    metadata = json.loads(found["artifacts"]["demo-online_pairs_1"].metadata)
    assert metadata["fingerprint"] == run.stages[14].entry(run.store).fingerprint
    assert metadata["inputs"][0][0] == "verify_samples"
    tables = {name.split("_")[0]: path for path in path.parent.rglob("*.table.json") for name in [path.name]}
    assert set(tables) == {"funnel", "rejected", "samples"}
    rows = json.loads(tables["rejected"].read_text())["data"]
    assert ["write_verifiers", "no_function", 1] in rows


def test_stages_are_logged_once_and_a_resumed_run_goes_on_in_the_same_run(run: PlausibleRun) -> None:
    pytest.importorskip("wandb")
    track(OFFLINE, run, slice(0, 12))
    track(OFFLINE, run)
    track(OFFLINE, run)
    first, second = (read_back(path) for path in parts(run))
    assert first["run"].run_id == second["run"].run_id
    assert any("train_sft/loss" in row for row in first["history"])
    assert not any("train_sft/loss" in row for row in second["history"])
    assert any("train_dpo_1/loss" in row for row in second["history"])


def test_online_without_a_key_says_so_and_goes_offline(run: PlausibleRun, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb")
    track(TrackingConfig(kind=Tracking.wandb, mode="online"), run, slice(0, 1))
    assert "WANDB_API_KEY is not set: tracking offline" in capfd.readouterr().err
    assert len(parts(run)) == 1


def test_a_failed_run_is_marked_failed_and_its_error_passes_through(run: PlausibleRun) -> None:
    pytest.importorskip("wandb")
    stage = run.stages[0]
    entry = stage.entry(run.store)
    manifest = entry.manifest()
    assert manifest is not None

    def die() -> None:
        with tracker(OFFLINE, run.config) as tracking:
            tracking.log_stage(stage, manifest, entry)
            raise KeyError("boom")

    with pytest.raises(KeyError, match="boom"):
        die()
    (path,) = parts(run)
    assert read_back(path)["exit"] == 1


def test_disabled_writes_nothing_and_remembers_nothing(run: PlausibleRun) -> None:
    pytest.importorskip("wandb")
    track(TrackingConfig(kind=Tracking.wandb, mode="disabled"), run)
    assert parts(run) == []
    assert not list(Path(run.config.paths.runs).glob("*/tracking.json"))


def test_an_unknown_mode_is_a_config_error(run: PlausibleRun) -> None:
    pytest.importorskip("wandb")
    with pytest.raises(ConfigError, match=r"tracking\.mode=sometimes: choose one of online, offline, disabled"):
        tracker(TrackingConfig(kind=Tracking.wandb, mode="sometimes"), run.config)


def test_the_run_id_follows_from_what_is_run_not_from_where(tmp_path: Path) -> None:
    here, there = plausible_run(tmp_path / "a").config, plausible_run(tmp_path / "b").config
    there.hardware.devices = 8
    assert run_id(here) == run_id(there)
    there.seed = 1
    assert run_id(here) != run_id(there)
    assert slug("train_dpo 2: ünïcode/…") == "train_dpo_2_n_code"


def test_points_of_an_experiment_are_one_group_and_say_which_point_they_are(run: PlausibleRun) -> None:
    pytest.importorskip("wandb")
    run.config.name = "table3/without_nli"
    track(OFFLINE, run, slice(0, 2))
    (path,) = sorted(Path(run.config.paths.runs).glob("table3/*/wandb/offline-run-*/*.wandb"))
    found = read_back(path)
    assert (found["run"].run_group, found["config"]["point"]) == ("table3", "without_nli")


def test_a_trained_model_is_an_artifact_that_says_what_it_was_made_from(run: PlausibleRun) -> None:
    pytest.importorskip("wandb")
    train = run.stages[11]
    entry = train.entry(run.store)
    (entry.files / "model").mkdir(parents=True)
    (entry.files / "model/config.json").write_text("{}")
    track(OFFLINE, run, slice(0, 12))
    (path,) = parts(run)
    artifact = read_back(path)["artifacts"]["demo-train_sft"]
    assert artifact.type == "model"
    assert json.loads(artifact.metadata)["inputs"] == [["sft_dataset", run.stages[10].entry(run.store).fingerprint]]
    assert artifact.manifest.contents[0].path == "model" or "config.json" in artifact.manifest.contents[0].path


def test_online_wandb_is_told_what_a_stage_was_made_from_and_a_refusal_costs_nothing(
    run: PlausibleRun, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb")
    used: list[str] = []

    def refuse(name: str) -> None:
        used.append(name)
        raise ValueError("no such artifact\nand more")

    online: Any = SimpleNamespace(offline=False, disabled=False, use_artifact=refuse)
    with tracker(OFFLINE, run.config) as tracking:
        assert isinstance(tracking, WandbTracker)
        track_all(tracking, run, slice(0, 12))
        tracking.use_inputs(online, run.stages[11])
    assert used == [f"demo-sft_dataset:{run.stages[10].entry(run.store).fingerprint}"]
    assert "could not be noted as used (no such artifact)" in capsys.readouterr().err


def test_panels_that_compare_the_runs_are_saved_beside_them(run: PlausibleRun) -> None:
    pytest.importorskip("wandb")
    run.config.name = "table3/full"
    track(OFFLINE, run)
    path = Path(run.config.paths.runs, "table3", wandb_report.FILE)
    found = wandb_report.read(path)
    assert (found.group, found.project) == ("table3", "autoif")
    sections = {section.title: section.panels for section in found.sections}
    assert list(sections) == ["Results", "Differences to the base", "Training", "Records kept"]
    keys = {key for panels in sections.values() for panel in panels for key in (*panel.keys, *filter(None, [panel.x]))}
    (part,) = sorted(Path(run.config.paths.runs).glob("table3/*/wandb/offline-run-*/*.wandb"))
    found_back = read_back(part)
    logged = set(found_back["summary"]) | {key for row in found_back["history"] for key in row}
    assert keys <= logged, "every panel draws what a run holds"
    assert "train_dpo_1/margin" in keys


def test_the_report_is_made_of_the_saved_panels(run: PlausibleRun, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb")
    track(OFFLINE, run)
    path = Path(run.config.paths.runs, "demo", wandb_report.FILE)
    with pytest.raises(ConfigError, match="WANDB_API_KEY holds no key"):
        wandb_report.publish(path)
    with pytest.raises(DataError, match="is no report definition"):
        wandb_report.read(path.with_name("report.json"))
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed")
    found = wandb_report.read(path)
    made = wandb_report.report(found)
    grids = [block for block in made.blocks if hasattr(block, "panels")]
    assert [len(grid.panels) for grid in grids] == [len(section.panels) for section in found.sections]
    assert grids[0].runsets[0].project == "autoif"


# --- CSV


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_files_hold_curves_results_and_the_funnel(run: PlausibleRun) -> None:
    track(CSV, run)
    folder = Path(run.config.paths.runs, "demo/tracking")
    steps = rows_of(folder / "train_sft.csv")
    assert [row["step"] for row in steps] == ["1", "2", "3", "4", "5", "6"]
    first = next(iter(run.stages[11].entry(run.store).records(TrainStep)))
    assert float(steps[0]["loss"]) == first.loss
    assert float(rows_of(folder / "train_dpo_2.csv")[0]["margin"]) != 0
    results = {(row["benchmark"], row["metric"], row["model"]): row["value"] for row in rows_of(folder / "results.csv")}
    assert results["heldout", "followed", "online_dpo"] == "0.5"
    assert rows_of(folder / "comparisons.csv")[0]["baseline"] == "base"
    funnel = rows_of(folder / "funnel.csv")
    assert [row["stage"] for row in funnel] == [stage.title for stage in run.stages]
    assert {"stage": "write_verifiers", "reason": "no_function", "count": "1"} in rows_of(folder / "rejected.csv")


def test_a_continued_run_leaves_the_csv_files_of_an_unbroken_one(run: PlausibleRun) -> None:
    folder = Path(run.config.paths.runs, "demo/tracking")
    track(CSV, run, slice(0, 12))
    track(CSV, run)
    continued = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    track(CSV, run)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == continued


# --- TensorBoard


def scalars(run: PlausibleRun) -> dict[str, list[tuple[int, float]]]:
    """Every scalar of every event file: tag → (step, value), in the order written."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(Path(run.config.paths.runs, "demo/tensorboard").glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            # TFRecord: length, its checksum, the event, its checksum.
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event()
            event.ParseFromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            for value in event.summary.value:
                text = value.WhichOneof("value") == "tensor"
                found.setdefault(value.tag, []).append((event.step, 0.0 if text else value.simple_value))
    return found


def test_tensorboard_holds_curves_by_their_own_step_and_results(run: PlausibleRun) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    track(BOARD, run)
    found = scalars(run)
    assert [step for step, _ in found["train_sft/loss"]] == [1, 2, 3, 4, 5, 6]
    losses = [row.loss for row in run.stages[11].entry(run.store).records(TrainStep)]
    assert [value for _, value in found["train_sft/loss"]] == pytest.approx(losses)
    assert found["results/heldout/followed/online_dpo"] == [(0, 0.5)]
    assert found["funnel/self_instruct/kept"] == [(0, 12.0)]
    assert {"configuration/text_summary", "funnel/text_summary"} <= set(found)


def test_tensorboard_logs_a_stage_once_however_often_a_run_goes_on(run: PlausibleRun) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    track(BOARD, run, slice(0, 12))
    track(BOARD, run)
    track(BOARD, run)
    found = scalars(run)
    assert len(found["train_sft/loss"]) == 6
    assert len(found["configuration/text_summary"]) == 1
    assert found["train_dpo_1/loss"]
    assert len(list(Path(run.config.paths.runs, "demo/tensorboard").glob("events.*"))) == 2


@pytest.mark.parametrize("kind, package", [(Tracking.wandb, "wandb"), (Tracking.tensorboard, "tensorboardX")])
def test_a_missing_package_is_named_with_its_extra(
    run: PlausibleRun, monkeypatch: pytest.MonkeyPatch, kind: Tracking, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package} is not installed: pip install 'autoif\[{kind.value}\]'"):
        tracker(TrackingConfig(kind=kind), run.config)


# --- while a training runs


class Notes(OnceTracker):
    """A tracker that notes what it is told."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.told: list[Any] = []

    def open(self) -> None:
        self.told.append("open")

    def log_step(self, key: str, values: dict[str, float]) -> None:
        self.told.append((key, values["step"]))

    def log_finished(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        self.told.append(stage.title)

    def log_tables(self, found: dict[str, Any]) -> None:
        self.told.append(sorted(found))

    def finish(self, exit_code: int) -> None:
        self.told.append(exit_code)

    @property
    def steps(self) -> list[float]:
        return [note[1] for note in self.told if isinstance(note, tuple)]


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Stage, Store]:
    """A training stage of six steps that is not done yet."""
    monkeypatch.setattr(once, "LOOK_SECONDS", 0.01)
    return Stage("train_sft", TrainStep, lambda context: map(step, range(1, 7))), Store(tmp_path / "store")


def step(number: int) -> TrainStep:
    return TrainStep(step=number, epoch=0.1 * number, loss=1.0 / number, learning_rate=1e-5, grad_norm=1.0, tokens=9)


def write(path: Path, *steps: int, tail: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(encode(step(number)) + b"\n" for number in steps) + tail)


def seen(notes: Notes, wanted: list[int]) -> None:
    deadline = time.monotonic() + 20
    while notes.steps != wanted:
        assert time.monotonic() < deadline, notes.told
        time.sleep(0.005)


def test_a_curve_is_followed_while_it_grows_and_a_cut_one_adds_only_what_is_new(
    training: tuple[Stage, Store], tmp_path: Path
) -> None:
    stage, store = training
    entry, ledger = stage.entry(store), tmp_path / "ledger.json"
    curve = entry.work / "curve.jsonl"
    notes = Notes(Ledger(ledger, "run"))
    with notes.watch(stage, entry):
        write(curve, 1, 2, tail=b'{"step":3,"epo')
        seen(notes, [1, 2])
        write(curve, 1, 2, 3, 4)
        seen(notes, [1, 2, 3, 4])
    # Killed and started again: training goes back to its checkpoint at step 2.
    again = Notes(Ledger(ledger, "run"))
    with again.watch(stage, entry):
        write(curve, 1, 2)
        write(curve, 1, 2, 3, 4, 5)
    assert again.steps == [5], "the last look comes when the stage is over"
    manifest = run_stage(stage, store, cast(Any, None))
    again.log_stage(stage, manifest, entry)
    assert again.steps == [5, 6]
    again.close()
    last = Notes(Ledger(ledger, "run"))
    with last.watch(stage, entry):
        last.log_stage(stage, manifest, entry)
    last.close()
    assert last.told == [0], "all is logged: nothing is opened"


def test_tables_that_a_killed_run_did_not_come_to_are_made_up_for(
    training: tuple[Stage, Store], tmp_path: Path
) -> None:
    stage, store = training
    manifest = run_stage(stage, store, cast(Any, None))
    killed = Notes(Ledger(tmp_path / "ledger.json", "run"))
    killed.log_stage(stage, manifest, stage.entry(store))
    again = Notes(Ledger(tmp_path / "ledger.json", "run"))
    again.log_stage(stage, manifest, stage.entry(store))
    again.close()
    assert again.told == ["open", ["funnel", "rejected", "samples"], 0]


def test_a_tracker_that_fails_costs_no_training(
    training: tuple[Stage, Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Notes):
        def log_step(self, key: str, values: dict[str, float]) -> None:
            raise ValueError("the server is gone")

    stage, store = training
    entry = stage.entry(store)
    with Broken(Ledger(tmp_path / "ledger.json", "run")).watch(stage, entry):
        write(entry.work / "curve.jsonl", 1)
    assert "tracking of train_sft stopped: the server is gone" in capsys.readouterr().err


def test_other_stages_and_finished_ones_are_not_followed(training: tuple[Stage, Store], tmp_path: Path) -> None:
    stage, store = training
    notes = Notes(Ledger(tmp_path / "ledger.json", "run"))
    run_stage(stage, store, cast(Any, None))
    with notes.watch(stage, stage.entry(store)), notes.watch(replace(stage, record=Result), stage.entry(store)):
        pass
    assert notes.told == []
