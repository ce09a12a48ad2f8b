"""How long the browser takes to write and to open: ``python -m autoif.browser.bench 100000 --json``.

Synthetic answers (eight responses under two functions, every third record dropped) go to the pages of one stage.
Opening is timed in headless Chromium where one is on the path: from the start of the page to its first rows, and what
the same Chromium takes for an empty page is taken off.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from autoif.browser.rows import dropped_rows, kept_rows
from autoif.browser.site import document, write_instructions, write_stage
from autoif.records import Answers, Function, Prompt, Reject, Response, write_records

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--virtual-time-budget=20000", "--dump-dom")
_CODE = "def evaluate(response):\n    return response.lower().count('answer') >= {n}\n"
_TEXT = "A good answer says what it has to say and then stops, while a bad one goes on about something else. "


def answers(count: int) -> Iterator[Answers]:
    """``count`` records of about 2 kB, a thousand instructions."""
    for number in range(count):
        text = f"Use the word answer at least {number % 1000} times."
        functions = tuple(Function(id=str(n), code=_CODE.format(n=n + number % 1000), accuracy=0.9) for n in range(2))
        query = f"What makes answer {number} good?"
        prompt = Prompt(
            id=str(number),
            verifier_id=str(number % 1000),
            instruction=text,
            query=query,
            text=f"{text}\n{query}",
            functions=functions,
        )
        responses = tuple(
            Response(index=i, text=_TEXT * (1 + (number + i) % 3), outcomes=("true", "false"), accuracy=0.5)
            for i in range(8)
        )
        yield Answers(id=str(number), prompt=prompt, responses=responses)


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Write ``count`` records, open them; seconds of both."""
    records, rejected = folder / "records.jsonl", folder / "rejected.jsonl"
    write_records(records, answers(count - count // 3))
    with rejected.open("wb") as out:
        for row in answers(count // 3):
            out.write(Reject(row, "no_response_passed", "accuracy 0.5").encode() + b"\n")
    started = time.perf_counter()
    stage = folder / "data/score-bench"
    summary = write_stage(stage, chain(kept_rows(records), dropped_rows(rejected)), count)
    head = {"title": "score", "about": "", "folder": "data/score-bench", "record": "Answers"}
    write_instructions(folder / "data", [stage])
    (folder / "index.html").write_text(document("bench", [head | summary], ""), encoding="utf-8")
    seconds = time.perf_counter() - started
    files = list((folder / "data").rglob("*.js"))
    return {
        "records": count,
        "files": len(files),
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "index_megabytes": round((stage / "index.js").stat().st_size / 1e6, 1),
        "write_seconds": round(seconds, 2),
        "records_per_second": round(count / seconds),
        "open_seconds": opening(folder / "index.html"),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def opening(page: Path) -> float | None:
    """Seconds that Chromium takes longer for ``page`` than for an empty one; None where there is no Chromium."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        return None
    times = []
    # The first start makes the profile and is not counted.
    for address in ("about:blank", "about:blank", page.resolve().as_uri()):
        started = time.perf_counter()
        profile = f"--user-data-dir={page.parent / 'profile'}"
        shown = subprocess.run(
            [chromium, *FLAGS, profile, address], capture_output=True, timeout=120, check=True
        ).stdout
        times.append(time.perf_counter() - started)
    if b'id="row-0"' not in shown:
        raise RuntimeError("the page shows no row")
    return round(times[2] - times[1], 2)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m autoif.browser.bench", description=__doc__.split("\n")[0])
    parser.add_argument("records", type=int, nargs="*", default=[100_000], help="how many records, one or more amounts")
    parser.add_argument("--json", action="store_true", help="one JSON object an amount")
    options = parser.parse_args()
    for count in options.records:
        folder = Path(tempfile.mkdtemp(prefix="autoif-bench-"))
        try:
            found = measure(count, folder)
        finally:
            shutil.rmtree(folder)
        if options.json:
            print(json.dumps(found), flush=True)
        else:
            opened = "no Chromium" if found["open_seconds"] is None else f"opens in {found['open_seconds']} s"
            print(
                f"{count:>9,} records {found['write_seconds']:>7.2f} s{found['records_per_second']:>9,} /s"
                f"{found['megabytes']:>8.1f} MB in {found['files']:,} files, {opened}, {found['peak_mib']} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
