"""Runs the hostile functions among good ones, with everything in place that they try to reach, and reports.

Also a program: ``python attack.py LANE`` prints the report as JSON, so that it can be run as another user.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hostile import BRIEF, HOSTILE, Hostile

from autoif.execution import ExecutionConfig, ExecutionEngine, Job

SECRET = "d41c5a7e-canary"
GOOD = "import re\n\ndef evaluate(response):\n    return len(re.findall(r'[a-z]+', response)) > 2\n"
GOOD_ALONE = "import random\n\ndef evaluate(r):\n    random.seed(3)\n    return len(r.split()) > random.choice([2])\n"
GOOD_INPUTS = ("one two three", "one", "\ud800 \0 a b c d")
GOOD_OUTCOMES = ["true", "false", "true"]
LIMITS = ExecutionConfig(
    workers=2, cpu_seconds=0.25, wall_seconds=0.5, memory_mb=64, kills_per_function=1, string_booleans=True
)


def descendants(pid: int) -> set[int]:
    """Process ids below ``pid``, zombies included."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    rows = [(int(row[0]), int(row[1])) for row in map(str.split, listing.splitlines()) if row[2] != "ps"]
    found, size = {pid}, 0
    while size != len(found):
        size = len(found)
        found |= {child for child, parent in rows if parent in found}
    return found - {pid}


def alive(pids: set[int]) -> set[int]:
    """Those that still exist after a moment's grace."""
    deadline = time.monotonic() + 2
    while pids and time.monotonic() < deadline:
        pids = {pid for pid in pids if os.path.exists(f"/proc/{pid}")}
        time.sleep(0.01)
    return pids


def attack(lane: str, cases: list[Hostile] = HOSTILE) -> dict[str, Any]:
    """Run ``cases`` between good functions. Returns outcomes by name and what is left of the surroundings."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        canary, scratch = Path(folder, "canary"), Path(folder, "scratch")
        canary.write_text(SECRET)
        scratch.mkdir()
        scratch.chmod(0o777)
        canary.chmod(0o666)
        Path(folder).chmod(0o777)
        before = canary.stat()
        for listener in (tcp, udp):
            listener.bind(("127.0.0.1", 0))
            listener.setblocking(False)
        tcp.listen()
        places = {
            "CANARY": canary,
            "SCRATCH": scratch,
            "SECRET": SECRET,
            "TCP": tcp.getsockname()[1],
            "UDP": udp.getsockname()[1],
            "SUPERVISOR": os.getpid(),
        }
        os.environ["AUTOIF_REDTEAM_SECRET"] = SECRET
        shm = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
        jobs = []
        for case in cases:
            source = case.source
            for name, value in places.items():
                source = source.replace(f"@{name}@", str(value))
            jobs += [Job(source, ("a b", "c")), Job(GOOD, GOOD_INPUTS), Job(GOOD_ALONE, GOOD_INPUTS)]
        started = time.monotonic()
        others = descendants(os.getpid())
        with ExecutionEngine(LIMITS, lane=lane) as engine:
            isolation = engine.isolation
            idle = descendants(os.getpid()) - others
            results = list(engine.run(jobs))
            seconds = time.monotonic() - started
            added = descendants(os.getpid()) - others - idle
        after = canary.stat()
        names = [[outcome.value for outcome in result.outcomes] for result in results]
        return {
            "level": isolation.level,
            "isolation": str(isolation),
            "user": os.getuid(),
            "seconds": round(seconds, 2),
            "hostile": {case.name: names[3 * at] for at, case in enumerate(cases)},
            "details": {case.name: list(results[3 * at].details.values())[:1] for at, case in enumerate(cases)},
            "neighbours": [name for at, name in enumerate(names) if at % 3],
            "canary_intact": canary.read_text() == SECRET and before.st_mtime_ns == after.st_mtime_ns,
            "canary_mode": oct(after.st_mode) == oct(before.st_mode) and after.st_nlink == before.st_nlink,
            "written": sorted(os.listdir(scratch)) + sorted(set(os.listdir("/dev/shm")) - shm if shm else ()),
            "packets": _received(tcp, udp),
            "processes": sorted(added | alive(idle)),
        }


def _received(tcp: socket.socket, udp: socket.socket) -> list[str]:
    heard = []
    for name, receive in (("tcp", tcp.accept), ("udp", lambda: udp.recv(99))):
        try:
            receive()
        except BlockingIOError:
            continue
        heard.append(name)
    return heard


if __name__ == "__main__":
    print(json.dumps(attack(sys.argv[1], BRIEF)))
