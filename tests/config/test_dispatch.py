"""Tasks on a synthetic graph: run does what is missing and says so, report and plan compute nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import Settings, graph

from autoif import tasks, tracking
from autoif.border import load
from autoif.config import PathsConfig, RunConfig, Task, TaskConfig
from autoif.errors import DataError
from autoif.stage import Stage
from autoif.store import Entry, Manifest


@pytest.fixture
def config(tmp_path: Path, recording: Path) -> RunConfig:
    folders = PathsConfig(store=f"{tmp_path}/store", runs=f"{tmp_path}/runs", cache=f"{tmp_path}/cache")
    return replace(load([f"supervisor.path={recording}"]), paths=folders)


def dispatch(config: RunConfig, task: Task, stages: list[Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "build", lambda _: tuple(stages))
    tasks.dispatch(replace(config, task=TaskConfig(kind=task)))


def test_a_run_does_what_is_missing_once(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dispatch(config, Task.run, graph(), monkeypatch)
    first = capsys.readouterr().out.splitlines()
    assert first[1].startswith("ask      5 kept, 5 rejected (even 5), ")
    assert first[1].endswith(" s")
    dispatch(config, Task.run, graph(last=Settings(threshold=0.9)), monkeypatch)
    second = capsys.readouterr().out.splitlines()
    assert second[0] == "queries  10 kept, found in the store"
    assert second[1] == "ask      5 kept, 5 rejected (even 5), found in the store"
    assert second[2].endswith(" s")
    assert second[3].startswith("report: ")
    assert Path(second[3].removeprefix("report: ")).is_file()
    assert Path(config.paths.runs, "demo/config.yaml").is_file()


def test_plan_and_report_compute_nothing(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dispatch(config, Task.plan, graph(), monkeypatch)
    dispatch(config, Task.report, graph(), monkeypatch)
    assert "3 of 3 stages to run" in capsys.readouterr().out
    assert not list(Path(config.paths.store).glob("*/*/manifest.json"))


def test_an_error_of_a_stage_stops_the_run_and_keeps_what_is_finished(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DataError("nothing to judge")

    queries, ask, judge = graph()
    with pytest.raises(DataError, match="nothing to judge"):
        dispatch(config, Task.run, [queries, ask, replace(judge, function=refuse)], monkeypatch)
    assert [path.parts[-3] for path in sorted(Path(config.paths.store).glob("*/*/manifest.json"))] == ["ask", "queries"]
    assert Path(config.paths.runs, "demo/report.html").is_file()


def test_only_what_will_run_asks_for_a_key(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    live = replace(config, supervisor=load(["supervisor=gpt_4"]).supervisor)
    queries, ask, judge = graph()
    dispatch(live, Task.plan, [queries, ask, judge], monkeypatch)
    assert "OPENAI_API_KEY holds no key" in capsys.readouterr().out
    dispatch(config, Task.run, [queries, ask], monkeypatch)
    capsys.readouterr()
    dispatch(live, Task.run, [queries, ask, judge], monkeypatch)
    assert "judge" in capsys.readouterr().out


def test_every_stage_is_reported_to_the_tracker_and_it_is_closed(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []

    class Recorder(tracking.Off):
        def log_stage(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
            assert entry.fingerprint == manifest.fingerprint
            logged.append(stage.title)

        def close(self, exit_code: int = 0) -> None:
            logged.append("closed")

    monkeypatch.setattr(tracking, "tracker", lambda *_: Recorder())
    dispatch(config, Task.run, graph(), monkeypatch)
    assert logged == ["queries", "ask", "judge", "closed"]
