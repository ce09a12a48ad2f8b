"""Layer 4: a memory limit for each worker with everything in it, by cgroup v2, where one is delegated to us.

The limit of a job child (``RLIMIT_AS``) holds without this; the cgroup also bounds a worker as a whole.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_SPARE_BYTES = 512 << 20
"""What a zygote itself may take."""


class Cgroup:
    """A cgroup for one worker. ``missing``: empty when it limits, else why it cannot."""

    def __init__(self, pid: int, memory_mb: int, proc: Path = Path("/proc/self")) -> None:
        self._path: Path | None = None
        self.missing = self._enter(pid, memory_mb, proc)

    def _enter(self, pid: int, memory_mb: int, proc: Path) -> str:
        try:
            own = _own(proc)
        except OSError as error:
            return f"cgroups cannot be read ({error.strerror})"
        if own is None:
            return "no cgroup v2 is mounted"
        # A cgroup with processes in it cannot hand controllers down, so the place is usually beside our own.
        for parent in (own, own.parent):
            with contextlib.suppress(OSError):
                if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
                    continue
                path = parent / f"autoif-{os.getpid()}-{pid}"
                path.mkdir()
                self._path = path
                (path / "memory.max").write_text(str((memory_mb << 20) + _SPARE_BYTES))
                (path / "cgroup.procs").write_text(str(pid))
                return ""
            self.close()
        return "no cgroup with a memory controller is delegated to us"

    def close(self) -> None:
        """Remove it; its processes must have ended."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.rmdir()
            self._path = None


def _own(proc: Path) -> Path | None:
    """The folder of our own cgroup, or None where cgroup v2 is not mounted."""
    name = next((line[3:] for line in (proc / "cgroup").read_text().splitlines() if line.startswith("0::")), None)
    if name is None:
        return None
    for line in (proc / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4]) / name.lstrip("/")
    return None
