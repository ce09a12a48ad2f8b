"""Layer 3: user, pid, network and ipc namespaces. The zygote becomes process 1 of its own: when it dies, the kernel
kills everything in it; the only network is an unconfigured loopback.

Namespaces are entered only after a forked trial has shown that every step works here: half of them would leave the
process without a user.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from .seccomp import Unsupported, die_with_parent

_USER, _PID, _NET, _IPC = 0x10000000, 0x20000000, 0x40000000, 0x08000000
_PARENT_CHECK_SECONDS = 0.5

_libc = ctypes.CDLL(None, use_errno=True)


def _unshare(user: bool) -> None:
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(_PID | _NET | _IPC | (_USER if user else 0)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def _trial(enter: Callable[[], None]) -> str:
    """Run ``enter`` and a fork in a child; returns why it failed, or nothing."""
    receiver, sender = os.pipe()
    pid = os.fork()
    if not pid:
        reason = b""
        try:
            enter()
            inner = os.fork()
            if not inner:
                os._exit(0)
            os.waitpid(inner, 0)
        except OSError as error:
            reason = (error.strerror or str(error)).encode()
        os.write(sender, reason or b"\n")
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(pid, 0)
    return "" if text == "\n" else text or "the trial died"


def enter() -> None:
    """Enter new namespaces; returns in a new process that is process 1 there. The calling process stays behind, waits
    for it and ends with it.

    Raises:
        Unsupported: when this machine forbids them; nothing has changed then.
    """
    reasons = []
    for user in (True, False):
        reason = _trial(lambda user=user: _unshare(user))  # type: ignore[misc]
        if not reason:
            _unshare(user)
            _become_first()
            return
        reasons.append(reason)
    raise Unsupported(f"namespaces are refused here ({reasons[0]})")


def _become_first() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    supervisor = os.getppid()
    pid = os.fork()
    if not pid:
        die_with_parent()
        return
    os.closerange(3, 64)
    while True:
        signal.sigtimedwait((signal.SIGCHLD,), _PARENT_CHECK_SECONDS)
        if os.waitpid(pid, os.WNOHANG)[0]:
            os._exit(0)
        if os.getppid() != supervisor:
            os.kill(pid, signal.SIGKILL)
