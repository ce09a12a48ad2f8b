"""A stage killed at every point at which it touches the disk, in processes of their own.

``python stage_killed.py FOLDER CHUNK``: run the stage undisturbed, then once for each point with a SIGKILL there and a
second run behind it. Prints one JSON line a point: the rows' hashes and which inputs each run worked on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from autoif import stage as stages
from autoif.records import Query, Reject
from autoif.stage import Context, Stage, run_stage
from autoif.store import Store

INPUTS = 11


class Points:
    """Counts points and ends the process at the chosen one."""

    def __init__(self, last: int) -> None:
        self.last, self.count = last, 0

    def reach(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` with a point before and one after it."""

        def watched(*args: Any, **more: Any) -> Any:
            self.reach()
            value = function(*args, **more)
            self.reach()
            return value

        return watched


def graph(store: Store, log: Path, points: Points, chunk: int | None) -> Stage:
    source = Stage(
        "numbers", Query, lambda context: (Query(id=str(n), text="x" * n, source="s") for n in range(INPUTS))
    )
    run_stage(source, store, None)  # type: ignore[arg-type]

    def work(context: Context, rows: Sequence[Query]) -> Iterator[Query | Reject]:
        context.facts["worked"] = True
        for row in rows:
            with log.open("a") as out:
                out.write(f"{row.id} ")
            yield Reject(row, "odd") if int(row.id) % 3 == 1 else row
            points.reach()

    return Stage("work", Query, work, inputs=(source,), chunk=chunk)


def attempt(folder: Path, chunk: int | None, last: int) -> int:
    """Run the stage in a child that is killed at point ``last`` (0: never); returns how many points it has."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        points = Points(0)
        stage = graph(Store(folder / "store"), folder / f"log{bool(last)}", points, chunk)
        points.last = last
        os.fsync = points.around(os.fsync)  # type: ignore[assignment]
        Path.replace = points.around(Path.replace)  # type: ignore[method-assign]
        shutil.rmtree = points.around(shutil.rmtree)  # type: ignore[assignment]
        run_stage(stage, Store(folder / "store"), None)  # type: ignore[arg-type]
        os.write(write, str(points.count).encode())
        os._exit(0)
    os.close(write)
    _, status = os.waitpid(child, 0)
    if last == 0 and status:
        raise SystemExit(f"a run that nobody killed ended with status {status}")
    text = os.read(read, 20)
    os.close(read)
    return int(text or 0)


def result(folder: Path, chunk: int | None) -> dict[str, Any]:
    stage = graph(Store(folder / "store"), folder / "log", Points(0), chunk)
    entry = stage.entry(Store(folder / "store"))
    manifest = entry.manifest()
    assert manifest is not None
    logs = [path.read_text().split() if path.exists() else [] for path in (folder / "logTrue", folder / "logFalse")]
    return {
        "hashes": [hashlib.sha256(path.read_bytes()).hexdigest() for path in (entry.records_path, entry.rejected_path)],
        "manifest": [manifest.inputs, manifest.kept, manifest.rejected, manifest.sha256, manifest.facts],
        "files": sorted(path.name for path in entry.path.iterdir() if path.name != "work"),
        "killed": logs[0],
        "resumed": logs[1],
    }


def main(folder: Path, chunk: int | None) -> None:
    (folder / "whole").mkdir()
    total = attempt(folder / "whole", chunk, 0)
    print(json.dumps(result(folder / "whole", chunk)))
    for last in range(1, total + 1):
        place = folder / str(last)
        place.mkdir()
        attempt(place, chunk, last)
        attempt(place, chunk, 0)
        print(json.dumps(result(place, chunk)))


if __name__ == "__main__":
    assert stages.CHUNK > 0
    main(Path(sys.argv[1]), int(sys.argv[2]) or None)
