"""Stages: streamed, resumable at any point, worked on by one process at a time, the same whatever the chunk."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoif.records import Query, Reject
from autoif.stage import Stage, run_stage
from autoif.store import Store, StoreError

KILLED = Path(__file__).with_name("stage_killed.py")


def queries(count):
    return lambda context: (Query(id=str(n), text=f"Number {n}?", source="s") for n in range(count))


def halve(context, rows):
    for row in rows:
        yield row if int(row.id) % 2 else Reject(row, "even", row.text)


def graph(count=60, function=halve, **fields):
    return Stage("halve", Query, function, inputs=(Stage("numbers", Query, queries(count)),), **fields)


def run(stage, folder):
    store = Store(folder)
    for source in stage.inputs:
        run_stage(source, store, None)
    return run_stage(stage, store, None), stage.entry(store)


@pytest.mark.parametrize("chunk", [1, 7, 30, 59, 60, 256])
def test_any_chunk_gives_the_same_bytes(tmp_path, chunk):
    whole, entry = run(graph(), tmp_path / "whole")
    parts, other = run(graph(chunk=chunk), tmp_path / "parts")
    assert (parts.sha256, parts.kept, parts.rejected, parts.inputs) == (whole.sha256, 30, {"even": 30}, 60)
    assert other.rejected_path.read_bytes() == entry.rejected_path.read_bytes()
    assert parts.fingerprint == whole.fingerprint


def test_a_finished_stage_is_found_not_run(tmp_path):
    runs = []

    def count(context, rows):
        runs.append(1)
        yield from rows

    first, _ = run(graph(3, count), tmp_path)
    again, _ = run(graph(3, count), tmp_path)
    assert (len(runs), again) == (1, first)


def test_no_input_rows_are_a_finished_stage_too(tmp_path):
    manifest, entry = run(graph(0, chunk=4), tmp_path)
    assert (manifest.kept, manifest.inputs, list(entry.records(Query))) == (0, 0, [])


def test_a_chunk_is_all_that_is_read_ahead(tmp_path):
    sizes = []

    def watch(context, rows):
        sizes.append(len(rows))
        yield from rows

    run(graph(10, watch, chunk=4), tmp_path)
    assert sizes == [4, 4, 2]


def test_facts_and_files_are_kept_and_are_not_identity(tmp_path):
    def make(context, rows):
        (context.files / "model.bin").write_bytes(b"weights")
        context.facts["isolation"] = "L3"
        yield from rows

    manifest, entry = run(graph(3, make), tmp_path)
    assert manifest.facts == {"isolation": "L3"}
    assert (entry.files / "model.bin").read_bytes() == b"weights"
    assert "isolation" not in json.dumps(manifest.key)


def test_an_error_leaves_the_finished_chunks_and_nothing_that_counts_as_whole(tmp_path):
    seen, broken = [], [True]

    def fail(context, rows):
        for row in rows:
            if row.id == "9" and broken:
                raise ValueError("no")
            seen.append(row.id)
            yield row

    stage = graph(12, fail, chunk=4)
    with pytest.raises(ValueError, match="no"):
        run(stage, tmp_path)
    assert not stage.entry(Store(tmp_path)).done
    broken.clear()
    manifest, entry = run(stage, tmp_path)
    assert manifest.kept == 12
    assert seen == [str(n) for n in (*range(9), *range(8, 12))]
    assert [row.id for row in entry.records(Query)] == [str(n) for n in range(12)]


def test_rows_shorter_than_the_journal_says_are_not_trusted(tmp_path):
    def fail(context, rows):
        if rows[0].id == "8":
            raise ValueError("no")
        yield from rows

    stage = graph(12, fail, chunk=4)
    with pytest.raises(ValueError, match="no"):
        run(stage, tmp_path)
    rows = stage.entry(Store(tmp_path)).work / "records.jsonl"
    rows.write_bytes(rows.read_bytes()[:10])
    with pytest.raises(Exception, match=r"records\.jsonl is shorter than its journal says: delete \S+ and run again"):
        run(stage, tmp_path)


@pytest.mark.parametrize("chunk", [0, 4], ids=["whole", "in chunks"])
def test_killed_at_any_point_it_ends_with_the_same_bytes_and_repeats_no_finished_chunk(tmp_path, chunk):
    done = subprocess.run(
        [sys.executable, KILLED, tmp_path, str(chunk)], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    whole, *killed = map(json.loads, done.stdout.splitlines())
    assert whole["resumed"] == [str(n) for n in range(11)]
    assert len(killed) > 20
    for point, outcome in enumerate(killed, 1):
        for part in ("hashes", "manifest", "files"):
            assert outcome[part] == whole[part], f"killed at point {point}"
        # What was repeated is at most one chunk (all of a stage without chunks): the one that was being worked on.
        repeated = len(outcome["killed"]) + len(outcome["resumed"]) - 11
        assert 0 <= repeated <= (chunk or 11), f"killed at point {point}"


TOGETHER = """
import sys, time
from pathlib import Path
from autoif.records import Query
from autoif.stage import Stage, run_stage
from autoif.store import Store

def slowly(context):
    with Path(sys.argv[1], "log").open("a") as log:
        log.write("worked\\n")
    Path(sys.argv[1], "started").touch()
    time.sleep(1.0)
    yield Query(id="1", text="t", source="s")

print(run_stage(Stage("slow", Query, slowly), Store(Path(sys.argv[1], "store")), None).sha256)
"""


def test_of_two_processes_that_want_a_stage_one_works_and_the_other_finds_it_done(tmp_path):
    command = [sys.executable, "-c", TOGETHER, str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert second.stdout == first.communicate(timeout=240)[0] != ""
    assert (tmp_path / "log").read_text() == "worked\n"


def test_a_waiting_process_takes_over_when_the_worker_is_killed(tmp_path):
    command = [sys.executable, "-c", TOGETHER, str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE)
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    first.kill()
    first.communicate(timeout=240)
    assert second.communicate(timeout=240)[0].strip()
    assert (tmp_path / "log").read_text() == "worked\nworked\n"


def test_store_errors_are_not_wrapped_twice(tmp_path):
    def refuse(context):
        raise StoreError("one line")
        yield

    with pytest.raises(StoreError, match=r"^one line$"):
        run_stage(Stage("s", Query, refuse), Store(tmp_path), None)
