"""Which system calls a job child may make, by name, and their numbers.

Source: the kernel's ``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h`` (aarch64).
"""

from __future__ import annotations

PLAIN = tuple(
    "read write close fstat newfstatat stat lstat statx lseek pread64 readv writev preadv poll ppoll select pselect6 "  # noqa: SIM905 - names read better as a line
    "brk munmap mremap madvise futex rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait "
    "rt_sigsuspend sigaltstack pause nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times "
    "alarm getitimer setitimer restart_syscall sched_yield sched_getaffinity getcpu getrandom access faccessat "
    "faccessat2 readlink readlinkat getcwd getdents64 fadvise64 dup dup2 dup3 close_range uname sysinfo getrlimit "
    "getrusage getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid "
    "getsid set_robust_list rseq exit exit_group".split(" ")
)
"""Allowed whatever their arguments: they compute, wait, ask, or use descriptors that are open already."""

INSPECTED = ("open", "openat", "mmap", "mprotect", "ioctl", "fcntl", "prlimit64")
"""Allowed for some arguments (:mod:`.seccomp`)."""

ABSENT = ("clone3", "openat2")
"""Answered with ENOSYS: their arguments lie behind a pointer, and libc then uses the older call."""


def _table(text: str) -> dict[str, int]:
    fields = text.split()
    return dict(zip(fields[::2], map(int, fields[1::2]), strict=True))


NUMBERS = {
    "x86_64": _table("""
        read 0 write 1 open 2 close 3 stat 4 fstat 5 lstat 6 poll 7 lseek 8 mmap 9 mprotect 10 munmap 11 brk 12
        rt_sigaction 13 rt_sigprocmask 14 rt_sigreturn 15 ioctl 16 pread64 17 readv 19 writev 20 access 21 select 23
        sched_yield 24 mremap 25 madvise 28 dup 32 dup2 33 pause 34 nanosleep 35 getitimer 36 alarm 37 setitimer 38
        getpid 39 exit 60 uname 63 fcntl 72 getcwd 79 readlink 89 gettimeofday 96 getrlimit 97 getrusage 98 sysinfo 99
        times 100 getuid 102 getgid 104 geteuid 107 getegid 108 getppid 110 getpgrp 111 getgroups 115 getresuid 118
        getresgid 120 getpgid 121 getsid 124 rt_sigpending 127 rt_sigtimedwait 128 rt_sigsuspend 130 sigaltstack 131
        gettid 186 time 201 futex 202 sched_getaffinity 204 getdents64 217 restart_syscall 219 fadvise64 221
        clock_gettime 228 clock_getres 229 clock_nanosleep 230 exit_group 231 openat 257 newfstatat 262 readlinkat 267
        faccessat 269 pselect6 270 ppoll 271 set_robust_list 273 dup3 292 preadv 295 prlimit64 302 getcpu 309
        getrandom 318 statx 332 rseq 334 clone3 435 close_range 436 openat2 437 faccessat2 439
    """),
    "aarch64": _table("""
        getcwd 17 dup 23 dup3 24 fcntl 25 ioctl 29 faccessat 48 openat 56 close 57 getdents64 61 lseek 62 read 63
        write 64 readv 65 writev 66 pread64 67 preadv 69 pselect6 72 ppoll 73 readlinkat 78 newfstatat 79 fstat 80
        exit 93 exit_group 94 futex 98 set_robust_list 99 nanosleep 101 getitimer 102 setitimer 103 clock_gettime 113
        clock_getres 114 clock_nanosleep 115 sched_getaffinity 123 sched_yield 124 restart_syscall 128 sigaltstack 132
        rt_sigsuspend 133 rt_sigaction 134 rt_sigprocmask 135 rt_sigpending 136 rt_sigtimedwait 137 rt_sigreturn 139
        getresuid 148 getresgid 150 times 153 getpgid 155 getsid 156 getgroups 158 uname 160 getrlimit 163
        getrusage 165 getcpu 168 gettimeofday 169 getpid 172 getppid 173 getuid 174 geteuid 175 getgid 176 getegid 177
        gettid 178 sysinfo 179 brk 214 munmap 215 mremap 216 mmap 222 fadvise64 223 mprotect 226 madvise 233
        prlimit64 261 getrandom 278 statx 291 rseq 293 clone3 435 close_range 436 openat2 437 faccessat2 439
    """),
}
"""Machine → name → number; a name that a machine lacks is not a system call there."""
