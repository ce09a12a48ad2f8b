"""Tracking: off does nothing; W&B holds curves, funnel and results, once, with keys from the environment only."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_run import PlausibleRun, RunSize, plausible_run

from autoif.config import Tracking, TrackingConfig
from autoif.errors import ConfigError
from autoif.tracking import Off, run_id, slug, tracker

OFFLINE = TrackingConfig(kind=Tracking.wandb, mode="offline")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlausibleRun:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    return plausible_run(tmp_path, RunSize(instructions=12, heldout=8, steps=6)).run()


def track(config: TrackingConfig, run: PlausibleRun, stages: slice = slice(None)) -> None:
    with tracker(config, run.config) as tracking:
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
