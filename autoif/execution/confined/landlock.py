"""Layer 2: Landlock. Files outside the interpreter's own cannot be read, nothing can be written, TCP is refused and
signals end at the sandbox.

Source: Linux ``landlock(7)`` and ``include/uapi/linux/landlock.h``; the system-call numbers are the same everywhere.
Not covered: that a file exists (``stat``) can be seen.
"""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig
from collections.abc import Iterable

from .seccomp import Unsupported

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many access rights each version knows; 16 from version 5 on
_TCP = 0b11  # bind, connect: version 4
_SCOPES = 0b11  # abstract UNIX sockets, signals: version 6

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/random")

_libc = ctypes.CDLL(None, use_errno=True)
_restrict = ctypes.CDLL(None, use_errno=True).syscall  # arguments known ahead: job children call it
_restrict.argtypes, _restrict.restype = [ctypes.c_long] * 3, ctypes.c_long


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32)]


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def version() -> int:
    """The kernel's Landlock version.

    Raises:
        Unsupported: when it has none, or it is switched off.
    """
    try:
        return _call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError as error:
        raise Unsupported(f"this kernel offers no Landlock ({error.strerror})") from None


def readable() -> list[str]:
    """What an interpreter needs to read: its library, shared objects, time zones."""
    own = {os.path.dirname(os.__file__), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return [*sorted(own), os.path.join(sys.base_prefix, "lib"), *_SYSTEM, *_DEVICES]


def ruleset(paths: Iterable[str]) -> int:
    """A handle of rules that allow reading beneath ``paths`` and nothing else; the caller closes it.

    Raises:
        Unsupported: when the kernel has no Landlock.
    """
    abi = version()
    rules = _Ruleset((1 << _FS_BITS.get(abi, 16)) - 1, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    handle = _call(_CREATE, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), ctypes.c_uint32(0))
    for path in paths:
        _allow(handle, path)
    return handle


def restrict(handle: int) -> None:
    """Confine this process and its descendants, on top of earlier rules. Needs no-new-privileges first."""
    if _restrict(_RESTRICT, handle, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _allow(handle: int, path: str) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this machine
    try:
        access = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        rule = _Beneath(access, target)
        _call(_ADD_RULE, ctypes.c_int(handle), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(target)
