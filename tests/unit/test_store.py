"""The store: done means whole, equal keys share a place, and a bad disk is one line."""

import fcntl
import json
import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from autoif.records import Query, Reject, encode
from autoif.stage import Stage, identity, run_stage
from autoif.store import Manifest, Store, StoreError, canonical, fingerprint, write_atomically


def numbers(count):
    return lambda context: (Query(id=str(n), text=f"Number {n}?", source="s") for n in range(count))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def done(store):
    """A finished stage's entry."""
    stage = Stage("numbers", Query, numbers(5))
    run_stage(stage, store, None)
    return stage.entry(store)


def test_a_finished_stage_says_what_it_made(done):
    manifest = done.manifest()
    assert (manifest.stage, manifest.kept, manifest.rejected) == ("numbers", 5, {})
    assert manifest.fingerprint == done.fingerprint == fingerprint(manifest.key)
    assert manifest.records_bytes == done.records_path.stat().st_size
    assert [row.id for row in done.records(Query)] == list("01234")
    assert not done.work.exists()


@pytest.mark.parametrize("damage", [lambda rows: rows[:-1], lambda rows: rows + b"\n", lambda rows: b""])
def test_rows_that_were_cut_or_grew_since_are_noticed(done, damage):
    done.records_path.write_bytes(damage(done.records_path.read_bytes()))
    with pytest.raises(
        StoreError, match=r"^\S+records\.jsonl has \d+ bytes, its manifest says \d+: delete that folder"
    ):
        done.manifest()


def test_rows_that_are_gone_and_a_broken_manifest_are_noticed(done):
    rows = done.records_path.read_bytes()
    done.records_path.unlink()
    with pytest.raises(StoreError, match=r"is damaged \(.*\): delete that folder and run again$"):
        _ = done.done
    done.records_path.write_bytes(rows)
    assert done.done
    manifest = done.path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    with pytest.raises(StoreError, match="is damaged"):
        _ = done.done


def test_manifests_are_listed_without_damaged_and_unfinished_ones(store, done):
    other = Stage("numbers", Query, numbers(2), seed=1)
    run_stage(other, store, None)
    (store.root / "numbers" / "unfinished").mkdir()
    (store.root / "numbers" / "damaged").mkdir()
    (store.root / "numbers" / "damaged" / "manifest.json").write_text("{")
    assert sorted(m.kept for m in store.manifests("numbers")) == [2, 5]
    assert list(store.manifests("none")) == []


def test_an_atomic_write_replaces_a_file_as_a_whole(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_equal_keys_have_one_text_and_one_fingerprint():
    assert canonical({"b": [1, 2.5, None], "a": "ü"}) == '{"a":"ü","b":[1,2.5,null]}'
    assert fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"}) != fingerprint({"a": True})


class Colour(Enum):
    red = "red"
    blue = "blue"


@dataclass(kw_only=True)
class Inner:
    size: int = 1
    speed: int = field(default=1, metadata={"identity": False})


@dataclass(kw_only=True)
class Settings:
    threshold: float = 0.5
    colour: Colour = Colour.red
    names: list[str] = field(default_factory=lambda: ["a"])
    inner: Inner = field(default_factory=Inner)
    workers: int = field(default=1, metadata={"identity": False})


def place(store, config=None, **fields):
    return Stage("s", Query, numbers(1), config=config or Settings(), **fields).entry(store).fingerprint


def test_what_does_not_change_the_result_does_not_change_the_place(store):
    base = place(store)
    assert place(store, Settings(workers=8, inner=Inner(speed=9))) == base
    assert place(store, chunk=7, label="other") == base
    assert identity(Settings()) == {"threshold": 0.5, "colour": "red", "names": ["a"], "inner": {"size": 1}}


def test_everything_else_does(store):
    upstream = Stage("u", Query, numbers(1), seed=3)
    places = [
        place(store),
        place(store, Settings(threshold=0.6)),
        place(store, Settings(colour=Colour.blue)),
        place(store, Settings(names=["a", "b"])),
        place(store, Settings(inner=Inner(size=2))),
        place(store, texts={"prompt": "Say $x"}),
        place(store, texts={"prompt": "Say $x."}),
        place(store, engines={"supervisor": "a"}),
        place(store, engines={"supervisor": "b"}),
        place(store, engines={"execution": Inner()}),
        place(store, seed=0),
        place(store, seed=1),
        place(store, version=2),
        place(store, inputs=(upstream,)),
        place(store, inputs=(Stage("u", Query, numbers(1), seed=4),)),
        place(store, inputs=(upstream, upstream)),
    ]
    assert len(set(places)) == len(places)


def test_a_waiting_process_names_a_holder_that_has_yet_to_write_its_name(store, capsys):
    entry = store.entry("slow", {"a": 1})
    entry.path.mkdir(parents=True)
    (entry.path / ".lock").touch()
    waiting = threading.Thread(target=lambda: entry.lock().__enter__())
    with (entry.path / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting.start()
        time.sleep(0.2)
        lock.write("process 7 on host")
        lock.flush()
        time.sleep(0.2)
    waiting.join()
    assert capsys.readouterr().err == "slow: process 7 on host is making it; waiting\n"


def test_a_lock_that_was_let_go_names_nobody(store):
    entry = store.entry("slow", {"a": 1})
    with entry.lock():
        assert str(os.getpid()) in (entry.path / ".lock").read_text()
    assert (entry.path / ".lock").read_text() == ""


def test_a_store_that_is_no_folder_is_one_line_that_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "store", Path("/proc/store")):
        with pytest.raises(
            StoreError, match=rf"^cannot write to the store {root} \([^\n]+\): free space there or set paths"
        ):
            Store(root).check_writable()
    with pytest.raises(
        StoreError, match=r"^stage s: cannot write \S+ \([^\n]+\): free space there or set paths\.store"
    ):
        run_stage(Stage("s", Query, numbers(1)), Store(tmp_path / "file"), None)


def test_a_writable_store_is_left_as_it_was(store):
    store.check_writable()
    assert list(store.root.iterdir()) == []


AS_NOBODY = """
import os, sys
from pathlib import Path
from autoif.records import Query
from autoif.stage import Stage, run_stage
from autoif.store import Store, StoreError
store, stage = Store(Path(sys.argv[1])), Stage("s", Query, lambda context: iter(()))
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for attempt in (store.check_writable, lambda: run_stage(stage, store, None)):
    try:
        attempt()
    except StoreError as error:
        print(error)
"""


def test_a_store_of_somebody_else_is_one_line(store):
    store.root.mkdir()
    store.root.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, store.root], capture_output=True, text=True, check=True, timeout=240
    )
    first, second = done.stdout.splitlines()
    assert first.startswith(f"cannot write to the store {store.root} (Permission denied)")
    # Root's temporary folders cannot even be looked into by others.
    assert second.startswith((f"stage s: cannot write {store.root}/s/", f"cannot read {store.root}/s/"))


class LimitedFiles:
    """Within the block no file of this process may grow beyond so many bytes: a full disk, without one."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *exception):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.mark.parametrize("chunk", [None, 4])
def test_a_full_disk_is_one_line_and_what_was_finished_stays_good(store, tmp_path, chunk):
    calls = []

    def wide(context, rows):
        for row in rows:
            calls.append(row.id)
            yield Query(id=row.id, text="x" * 500, source="s")
            yield Reject(row, "seen")

    def build(at):
        source = Stage("numbers", Query, numbers(40))
        run_stage(source, at, None)
        return Stage("wide", Query, wide, inputs=(source,), chunk=chunk)

    stage = build(store)
    with (
        LimitedFiles(10_000),
        pytest.raises(StoreError, match=r"^stage wide: cannot write [^\n]+ \(File too large\)[^\n]+$"),
    ):
        run_stage(stage, store, None)
    assert not stage.entry(store).done
    assert not stage.entry(store).records_path.exists()
    before = len(calls)
    manifest = run_stage(stage, store, None)
    assert (manifest.kept, manifest.rejected) == (40, {"seen": 40})
    assert len(calls) - before == (40 if chunk is None else 40 - (before - 1) // 4 * 4)
    whole = build(Store(tmp_path / "other"))
    run_stage(whole, Store(tmp_path / "other"), None)
    assert manifest.sha256 == whole.entry(Store(tmp_path / "other")).manifest().sha256


def test_a_full_disk_at_the_manifest_leaves_the_stage_undone(store):
    stage = Stage("numbers", Query, numbers(1), texts={f"text {n}": str(n) for n in range(200)})
    with LimitedFiles(4096), pytest.raises(StoreError, match="File too large"):
        run_stage(stage, store, None)
    assert not stage.entry(store).done
    assert run_stage(stage, store, None).kept == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB, where this user may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no right to mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_without_space_is_one_line(small_disk):
    store = Store(small_disk / "store")
    with pytest.raises(StoreError, match=r"^stage numbers: cannot write [^\n]+ \(No space left on device\)[^\n]+$"):
        run_stage(Stage("numbers", Query, numbers(5000)), store, None)
    with pytest.raises(OSError, match="No space"):
        (small_disk / "fill").write_bytes(b"\0" * 65536)
    with pytest.raises(StoreError, match=r"cannot write to the store .* \(No space left on device\)"):
        store.check_writable()


def test_errors_that_are_not_the_disks_are_not_blamed_on_it(store):
    def crash(context):
        raise ConnectionRefusedError(111, "Connection refused")
        yield

    with pytest.raises(ConnectionRefusedError):
        run_stage(Stage("s", Query, crash), store, None)


def test_rejected_rows_are_read_back(store):
    row = Query(id="1", text="t", source="s")
    stage = Stage("s", Query, lambda context: iter([Reject(row, "reason", "detail")]))
    manifest = run_stage(stage, store, None)
    (rejected,) = stage.entry(store).rejected()
    assert (rejected.reason, rejected.detail, bytes(rejected.record)) == ("reason", "detail", encode(row))
    assert manifest.rejected == {"reason": 1}
    assert json.loads((stage.entry(store).path / "manifest.json").read_text())["kept"] == 0
    assert list(store.entry("other", {}).rejected()) == []


def test_a_manifest_of_other_fields_is_damage_not_a_crash(done):
    (done.path / "manifest.json").write_text('{"stage": "numbers"}')
    with pytest.raises(StoreError, match="missing required field"):
        done.manifest()
    assert Manifest.__struct_fields__[0] == "stage"
    assert os.listdir(done.path)
