"""Layer 1: no new privileges, no capabilities, and a system-call allow-list written as BPF by hand.

What a job child may do: compute, allocate, sleep, open files for reading, read and write open descriptors. It may not
open sockets, create processes or threads, send signals, write or rename files, map anonymous executable memory or
change its limits. A refused call fails with EPERM, so the function sees an ordinary exception; clone3, openat2 and
newer interfaces whose arguments lie behind pointers fail with ENOSYS, so libc falls back to what can be inspected.

Source: Linux ``seccomp(2)``, ``include/uapi/linux/{seccomp,filter,audit}.h`` and the system-call tables of x86_64 and
of the generic (aarch64) ABI.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from .syscalls import ABSENT, INSPECTED, NUMBERS, PLAIN

_LD, _JEQ, _JSET, _JGE, _RET, _AND = 0x20, 0x15, 0x45, 0x35, 0x06, 0x54
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR, _ARCH, _ARGS = 0, 4, 16

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4

_O_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | 0o20000000
"""Open flags that can change a file (the last is __O_TMPFILE)."""
_FCNTL = (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC."""
_F_SETFL, _O_ASYNC = 4, 0o20000
_IOCTL = (0x5401, 0x5413, 0x5450, 0x5451, 0x541B)
"""TCGETS, TIOCGWINSZ, FIONCLEX, FIOCLEX, FIONREAD."""

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]  # known ahead: job children call it


class Unsupported(Exception):
    """This kernel or machine cannot do it; the text says why."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def _op(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, k)


def _fail(number: int) -> bytes:
    return _op(_RET, _ERRNO | number)


def _argument(index: int, high: bool = False) -> bytes:
    return _op(_LD, _ARGS + 8 * index + (4 if high else 0))


def _one_of(values: tuple[int, ...]) -> list[bytes]:
    """Allow when the loaded value is one of ``values``, else EPERM."""
    checks = [_op(_JEQ, value, len(values) - i) for i, value in enumerate(values)]
    return [*checks, _fail(errno.EPERM), _op(_RET, _ALLOW)]


def _none_of(bits: int) -> list[bytes]:
    """Allow when the loaded value has none of ``bits`` set, else EPERM."""
    return [_op(_JSET, bits, 1), _op(_RET, _ALLOW), _fail(errno.EPERM)]


def _rule(name: str) -> list[bytes]:
    """Instructions that decide an inspected call; they always return."""
    if name in ("open", "openat"):
        return [_argument(1 if name == "open" else 2), *_none_of(_O_WRITING)]
    if name == "mmap":  # PROT_EXEC (4) only for files: MAP_ANONYMOUS is 0x20
        return [_argument(2), _op(_JSET, 4, 1), _op(_RET, _ALLOW), _argument(3), *_none_of(0x20)]
    if name == "mprotect":
        return [_argument(2), *_none_of(4)]
    if name == "ioctl":
        return [_argument(1), *_one_of(_IOCTL)]
    if name == "fcntl":  # flags may change, but not to having signals sent
        flags = [_argument(2), *_none_of(_O_ASYNC)]
        return [_argument(1), _op(_JEQ, _F_SETFL, 0, len(flags)), *flags, *_one_of(_FCNTL)]
    # prlimit64: read one's own limits only, that is pid 0 and no new limit
    zero = [_argument(0), _op(_JEQ, 0, 1), _fail(errno.EPERM)]
    zero += [_argument(2), _op(_JEQ, 0, 1), _fail(errno.EPERM)]
    return [*zero, _argument(2, high=True), *_one_of((0,))]


def program(machine: str | None = None) -> bytes:
    """The filter for ``machine`` as BPF instructions.

    Raises:
        Unsupported: when there is no table for this machine.
    """
    machine = machine or platform.machine()
    if machine not in NUMBERS:
        raise Unsupported(f"there is no system-call table for {machine}")
    numbers = NUMBERS[machine]
    code = [_op(_LD, _ARCH), _op(_JEQ, _AUDIT_ARCH[machine], 1), _op(_RET, _KILL_PROCESS), _op(_LD, _NR)]
    if machine == "x86_64":  # the x32 ABI has numbers of its own
        code += [_op(_JGE, 0x40000000, 0, 1), _op(_RET, _KILL_PROCESS)]
    for name in INSPECTED:
        if name in numbers:
            rule = _rule(name)
            code += [_op(_JEQ, numbers[name], 0, len(rule)), *rule]
    for name in PLAIN:
        if name in numbers:
            code += [_op(_JEQ, numbers[name], 0, 1), _op(_RET, _ALLOW)]
    for name in ABSENT:
        code += [_op(_JEQ, numbers[name], 0, 1), _fail(errno.ENOSYS)]
    return b"".join([*code, _fail(errno.EPERM)])


class Filter:
    """A built filter, ready to be installed in a forked child with one system call."""

    def __init__(self) -> None:
        code = program()
        self._code = ctypes.create_string_buffer(code, len(code))
        self._program = _Program(len(code) // 8, ctypes.addressof(self._code))
        self._address = ctypes.addressof(self._program)

    def install(self) -> None:
        """Confine the calling process for good. Needs :func:`no_new_privileges` first."""
        _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, self._address)


def _prctl(option: int, first: int, second: int = 0) -> None:
    if _libc.prctl(option, first, second, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent's thread dies."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def no_new_privileges() -> None:
    """Drop every capability, also those that a later exec could bring back."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 and ctypes.get_errno() == errno.EINVAL:
            break
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")
