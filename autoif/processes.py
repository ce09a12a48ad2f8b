"""Child processes that do not outlive what started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from autoif.errors import EngineError

PARENT = "AUTOIF_PARENT"
"""Environment variable: the process that started this one."""

_PR_SET_PDEATHSIG = 1


def die_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when its parent ends, however that happens (Linux; else a no-op).

    Raises:
        EngineError: when the parent that :data:`PARENT` names is gone already.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, by)
    parent = os.environ.get(PARENT)
    if parent and "RANK" not in os.environ and os.getppid() != int(parent):
        raise EngineError("the process that started this one is gone")
