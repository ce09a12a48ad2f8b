"""The browser's files hold every row of a run, kept and dropped, once, and say how each instruction fared."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from report_run import PlausibleRun, RunSize, plausible_run

from autoif import browser
from autoif.browser import matrix, site
from autoif.browser.rows import dropped_rows, kept_rows
from autoif.config import TaskConfig
from autoif.errors import ConfigError, EngineError
from autoif.execution import ExecutionEngine
from autoif.records import (
    Case,
    EvaluationItem,
    Function,
    Instruction,
    Message,
    PreferencePair,
    Query,
    Reject,
    Reply,
    SftExample,
    Verifier,
    encode,
)
from autoif.report.files import ReportError

CALL = re.compile(rb"autoif\.(\w+)\((.*)\)\n", re.DOTALL)


class NoEngines:
    @property
    def execution(self) -> Any:
        raise EngineError("nothing can be executed here")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> PlausibleRun:
    return plausible_run(tmp_path_factory.mktemp("run"), RunSize(instructions=30, heldout=9, steps=4)).run()


def arguments(path: Path) -> list[Any]:
    match = CALL.fullmatch(path.read_bytes())
    assert match
    return list(json.loads(b"[" + match[2] + b"]"))


def write(run: PlausibleRun, folder: Path, engines: Any = None) -> browser.Written:
    config = replace(run.config, task=TaskConfig(folder=str(folder)))
    return browser.write(config, run.stages, run.store, engines or NoEngines())


def test_every_row_of_every_stage_stands_on_a_page_kept_ones_first(run: PlausibleRun, tmp_path: Path) -> None:
    written = write(run, tmp_path)
    page = written.page.read_text()
    shown = json.loads(page.split('<script type="application/json" id="run">')[1].split("</script>")[0])["stages"]
    titles = [stage["title"] for stage in shown]
    assert titles[:3] == ["self_instruct", "write_verifiers", "cross_verify"]
    assert not {"train_sft", "results", "comparisons"} & set(titles)
    total = 0
    for stage in run.stages:
        told = next((one for one in shown if one["title"] == stage.title), None)
        if told is None:
            continue
        manifest = stage.entry(run.store).manifest()
        assert manifest
        folder = tmp_path / told["folder"]
        files = sorted(folder.glob("[0-9]*.js"), key=lambda path: int(path.stem))
        rows = [row for path in files for row in arguments(path)[2]]
        assert len(rows) == told["rows"] == manifest.kept + sum(manifest.rejected.values())
        assert told["kept"] == manifest.kept
        assert {name: number for name, number, kept in told["states"] if not kept} == manifest.rejected
        entry = stage.entry(run.store)
        lines = [*entry.records_path.read_bytes().splitlines(), *entry.rejected_path.read_bytes().splitlines()]
        assert rows == [json.loads(line) for line in lines]
        (_, index) = arguments(folder / "index.js")
        assert len(index["state"]) == len(index["instruction"]) == len(index["text"]) == len(rows)
        total += len(rows)
    assert written.records == total > 500


def test_an_instruction_can_be_followed_through_the_stages(run: PlausibleRun, tmp_path: Path) -> None:
    write(run, tmp_path)
    (traces,) = arguments(tmp_path / "data/instructions.js")
    steps = traces["Answer in exactly three sentences."]
    assert [number for number, *_ in steps] == sorted(number for number, *_ in steps)
    assert steps[0][1] >= 1
    assert sum(dropped for *_, dropped in steps) > 0


def test_writing_again_writes_only_what_is_new_and_takes_away_what_is_gone(run: PlausibleRun, tmp_path: Path) -> None:
    first = write(run, tmp_path)
    (tmp_path / "data/gone-0123456789").mkdir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("[0-9]*.js")}
    again = write(run, tmp_path)
    assert (first.found, again.found) == (0, again.records)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("[0-9]*.js")} == before
    assert not (tmp_path / "data/gone-0123456789").exists()
    half = next(tmp_path.glob("data/score-*"))
    (half / site.DONE).unlink()
    assert again.records - write(run, tmp_path).found == len(arguments(half / "index.js")[1]["state"])


def test_the_same_run_gives_the_same_bytes(run: PlausibleRun, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(run, tmp_path / name)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) > 20
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in files)


def test_a_run_without_records_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"demo has no records in .* yet: run it first"):
        write(plausible_run(tmp_path), tmp_path / "pages")


def test_a_folder_that_cannot_be_written_is_one_line(run: PlausibleRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"cannot write the browser to .*set task\.folder"):
        write(run, tmp_path / "file")


ROWS = {
    "kept: seed": Instruction(id="1", text="In verse.", origin="seed"),
    "kept: heldout": Query(id="1", text="Why?", source="shipped", split="heldout"),
    "kept: online": PreferencePair(
        id="1", prompt=(Message(role="user", content="Why?"),), chosen="a", rejected="b", level="online",
        chosen_accuracy=1.0, rejected_accuracy=0.0,
    ),
    "kept: followed met": EvaluationItem(
        id="1", benchmark="heldout", model="base", prompt="Why?", response="a", scores={"followed": 1.0}
    ),
    "kept: followed not met": EvaluationItem(
        id="1", benchmark="heldout", model="base", prompt="Why?", response="a", scores={"followed": 0.5}
    ),
    "kept": SftExample(
        id="1", messages=(Message(role="user", content="Why?"),), instruction="In verse.", functions=(), accuracy=1.0
    ),
}  # fmt: skip


@pytest.mark.parametrize("state", ROWS)
def test_kept_rows_say_what_kind_they_are(state: str, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(encode(ROWS[state]) + b"\n")
    (row,) = kept_rows(path)
    assert (row.state, row.kept) == (state, True)
    asked = {
        "kept": "In verse.",
        "kept: seed": "In verse.",
        "kept: followed met": "Why?",
        "kept: followed not met": "Why?",
    }
    assert row.instruction == asked.get(state, "")
    assert row.text == {"kept: seed": "In verse.", "kept: followed met": "a", "kept: followed not met": "a"}.get(
        state, "Why?"
    )


def test_dropped_rows_are_known_by_their_reason_and_their_evidence(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    path.write_bytes(Reject(Reply(id="1", index=0, text="Sorry"), "unreadable", "no JSON").encode() + b"\n")
    (row,) = dropped_rows(path)
    assert (row.state, row.kept, row.text) == ("unreadable", False, "Sorry no JSON")


SHORT = "def evaluate(response):\n    return len(response) < 5\n"
CRASHES = "def evaluate(response):\n    return response[99] == ''\n"


def verifier(*codes: str) -> bytes:
    cases = (Case(input="long answer", expected=False), Case(input="oui", expected=True))
    functions = tuple(Function(id=str(i), code=code) for i, code in enumerate(codes))
    return encode(
        Verifier(id="v", instruction=Instruction(id="i", text="t", origin="seed"), functions=functions, cases=cases)
    )


def test_the_outcome_matrix_comes_from_execution_each_call_once(engine: ExecutionEngine) -> None:
    ran: list[int] = []

    class Counting:
        def run(self, jobs: Any) -> Any:
            made = list(jobs)
            ran.append(sum(len(job.inputs) for job in made))
            return engine.run(iter(made))

    matrices = matrix.Matrices(Counting())  # type: ignore[arg-type]
    assert matrices.of([verifier(SHORT, CRASHES), verifier(), verifier(SHORT)]) == [["FT", "EE"], None, ["FT"]]
    assert matrices.of([verifier(CRASHES)]) == [["EE"]]
    assert ran == [4, 0]


def test_too_many_calls_leave_the_matrix_out_and_are_counted(engine: ExecutionEngine) -> None:
    matrices = matrix.Matrices(engine, limit=3)
    assert matrices.of([verifier(SHORT, CRASHES)]) == [None]
    assert matrices.left_out == 1


def test_matrices_reach_the_pages(run: PlausibleRun, tmp_path: Path, engine: ExecutionEngine) -> None:
    write(run, tmp_path, SimpleNamespace(execution=engine))
    folder = next(tmp_path.glob("data/write_verifiers-*"))
    rows, matrices = arguments(folder / "0.js")[2:]
    assert len(rows) == len(matrices)
    assert all(len(letters) == len(rows[0]["cases"]) for letters in matrices[0])
    assert len(matrices[0]) == len(rows[0]["functions"])
