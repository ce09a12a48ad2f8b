"""The layers: what the system-call filter decides, and that what is missing is said and refused."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from autoif.errors import EngineError
from autoif.execution import ExecutionConfig, ExecutionEngine, Isolation, Job
from autoif.execution.cgroup import Cgroup
from autoif.execution.confined import seccomp, syscalls

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
both = pytest.mark.parametrize("machine", list(ARCH))


def decide(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """Interpret the filter for one system call, as the kernel would."""
    code = seccomp.program(machine)
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, ARCH[machine] if arch is None else arch, 0, *(w % 2**64 for w in words))
    at, accumulator = 0, 0
    while True:
        operation, yes, no, k = struct.unpack_from("=HBBI", code, at * 8)
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif operation == 0x06:
            return int(k)
        else:
            holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[operation]
            at += yes if holds else no


@both
def test_the_filter_allows_what_computing_needs_and_refuses_the_rest(machine: str) -> None:
    numbers = syscalls.NUMBERS[machine]
    inspected, absent = set(syscalls.INSPECTED), set(syscalls.ABSENT)
    plain = {number for name, number in numbers.items() if name not in inspected | absent}
    for number in range(600):
        verdict = decide(machine, number)
        if number in plain:
            assert verdict == ALLOW
        elif number in {numbers[name] for name in absent}:
            assert verdict == ENOSYS
        elif number not in numbers.values():
            assert verdict == EPERM


@both
def test_files_are_opened_for_reading_only(machine: str) -> None:
    openat = syscalls.NUMBERS[machine]["openat"]
    for flags, verdict in ((0, ALLOW), (0o2000000, ALLOW), (0o200000, ALLOW), (1, EPERM), (2, EPERM), (0o100, EPERM)):
        assert decide(machine, openat, -100, 0x1000, flags) == verdict
    for flag in (0o1000, 0o2000, 0o20000000):
        assert decide(machine, openat, -100, 0x1000, flag) == EPERM


@both
def test_executable_memory_comes_from_files_only(machine: str) -> None:
    numbers = syscalls.NUMBERS[machine]
    assert decide(machine, numbers["mmap"], 0, 4096, 3, 0x22) == ALLOW
    assert decide(machine, numbers["mmap"], 0, 4096, 5, 0x02) == ALLOW
    assert decide(machine, numbers["mmap"], 0, 4096, 7, 0x22) == EPERM
    assert decide(machine, numbers["mprotect"], 0, 4096, 1) == ALLOW
    assert decide(machine, numbers["mprotect"], 0, 4096, 5) == EPERM


@both
def test_descriptors_and_limits_are_only_asked_about(machine: str) -> None:
    numbers = syscalls.NUMBERS[machine]
    assert decide(machine, numbers["fcntl"], 0, 3) == ALLOW
    assert decide(machine, numbers["fcntl"], 0, 4, 0o4000) == ALLOW  # F_SETFL O_NONBLOCK
    assert decide(machine, numbers["fcntl"], 0, 4, 0o20000) == EPERM  # O_ASYNC
    for command in (8, 10, 1024, 1033):  # F_SETOWN F_SETSIG F_SETLEASE F_ADD_SEALS
        assert decide(machine, numbers["fcntl"], 0, command) == EPERM
    assert decide(machine, numbers["ioctl"], 0, 0x5401) == ALLOW
    assert decide(machine, numbers["ioctl"], 0, 0x5412) == EPERM  # TIOCSTI
    assert decide(machine, numbers["prlimit64"], 0, 9, 0, 0x1000) == ALLOW
    assert decide(machine, numbers["prlimit64"], 0, 9, 0x1000, 0) == EPERM
    assert decide(machine, numbers["prlimit64"], 0, 9, 0x1000 << 32, 0) == EPERM
    assert decide(machine, numbers["prlimit64"], 1, 9, 0, 0x1000) == EPERM


def test_other_abis_are_killed() -> None:
    assert decide("x86_64", 0, arch=0x40000003) == KILL  # i386
    assert decide("x86_64", 0x40000000 + 57) == KILL  # x32 fork
    assert decide("aarch64", 63, arch=ARCH["x86_64"]) == KILL


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "/usr/include/asm-generic/unistd.h")],
)
def test_numbers_are_those_of_the_kernel_headers(machine: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    text = Path(header).read_text()
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
    aliases = {"newfstatat": ("newfstatat", "fstatat")}
    for name, number in syscalls.NUMBERS[machine].items():
        values = [int(found[alias]) for alias in aliases.get(name, (name,)) if alias in found]
        assert values == [number], name


def test_a_machine_without_a_table_is_named() -> None:
    with pytest.raises(seccomp.Unsupported, match="riscv64"):
        seccomp.program("riscv64")


@pytest.mark.parametrize("ceiling", [0, 1, 2, 3, 4])
def test_the_engine_runs_and_reports_at_every_level(ceiling: int) -> None:
    config = ExecutionConfig(workers=1, minimum_isolation=0)
    with ExecutionEngine(config, ceiling=ceiling) as engine:
        (result,) = engine.run([Job("def evaluate(r):\n    return r == 'a'\n", ("a",))])
        assert result.outcomes[0].value == "true"
        assert engine.isolation.level <= ceiling
        assert set(engine.isolation.layers) == set(range(ceiling + 1))


def test_a_minimum_that_is_not_reached_is_refused_with_the_missing_layer() -> None:
    config = ExecutionConfig(workers=1, minimum_isolation=2)
    with pytest.raises(EngineError, match=r"minimum_isolation is 2.*offers 1.*L2 \(Landlock\).*not tried"):
        ExecutionEngine(config, ceiling=1).__enter__()


def test_isolation_is_what_all_workers_reached() -> None:
    isolation = Isolation.of([{1: "", 2: "", 3: ""}, {1: "", 2: "no Landlock", 3: ""}])
    assert isolation.level == 1
    assert str(isolation) == "L1 (no L2: no Landlock)"
    assert "no Landlock" in isolation.refusal(3)
    assert Isolation.of([{1: "", 2: ""}]).level == 2


def cgroup_tree(tmp_path: Path, controllers: str) -> tuple[Path, Path]:
    proc, mount = tmp_path / "proc", tmp_path / "cgroup"
    own = mount / "user" / "scope"
    own.mkdir(parents=True)
    proc.mkdir()
    (proc / "cgroup").write_text("4:memory:/old\n0::/user/scope\n")
    (proc / "mountinfo").write_text(f"30 20 0:26 / {mount} rw,nosuid - cgroup2 cgroup2 rw\n")
    (own / "cgroup.subtree_control").write_text("")
    (own.parent / "cgroup.subtree_control").write_text(controllers)
    return proc, own


def test_a_delegated_cgroup_limits_memory(tmp_path: Path) -> None:
    proc, own = cgroup_tree(tmp_path, "cpu memory")
    group = Cgroup(123, 64, proc)
    (made,) = own.parent.glob("autoif-*")
    assert group.missing == ""
    assert (made / "cgroup.procs").read_text() == "123"
    assert int((made / "memory.max").read_text()) == (64 + 512) << 20


@pytest.mark.parametrize(
    ("controllers", "line", "why"),
    [("cpu", None, "no cgroup with a memory controller"), ("memory", "1:memory:/old\n", "no cgroup v2")],
)
def test_a_missing_cgroup_is_explained(tmp_path: Path, controllers: str, line: str | None, why: str) -> None:
    proc, own = cgroup_tree(tmp_path, controllers)
    if line:
        (proc / "cgroup").write_text(line)
    assert why in Cgroup(123, 64, proc).missing
    assert not list(own.parent.glob("autoif-*"))


def test_the_zygote_loads_nothing_of_ours_but_its_own_package() -> None:
    source = (
        "import sys\n"
        "def evaluate(r):\n"
        "    loaded = {name.split('.')[0] for name in sys.modules}\n"
        "    return str(sorted(loaded & {'autoif', 'msgspec', 'site', 'subprocess', 'threading'}))\n"
    )
    with ExecutionEngine(ExecutionConfig(workers=1)) as engine:
        (result,) = engine.run([Job(source, ("a",))])
    assert result.details == {0: "str: '[]'"}
