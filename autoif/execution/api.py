"""Types of the execution engine's public API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """What one call ``evaluate(input)`` came to. Never coerced: a crash is not a False, a string is not a True."""

    TRUE = "true"
    FALSE = "false"
    NONE = "none"
    OTHER = "other"
    ERROR = "error"
    MEMORY = "memory"
    LOAD_ERROR = "load_error"
    TIMEOUT = "timeout"
    CRASH = "crash"
    SKIPPED = "skipped"


LAYERS = {
    0: "clean environment, rlimits, killed from outside",
    1: "no new privileges, no capabilities, seccomp",
    2: "Landlock",
    3: "user, pid, net and ipc namespaces",
    4: "cgroup memory limit",
}


@dataclass(kw_only=True, slots=True)
class ExecutionConfig:
    """Limits and sampling, which are part of what a result means, and where it runs, which is not.

    ``cpu_seconds``: computing time of one call, or of loading one function. ``wall_seconds``: time one call may sleep
    or wait; waiting for a core does not count, so a busy machine changes no outcome. ``memory_mb``: what a process may
    take on top of its interpreter. ``kills_per_function``: time-outs, crashes and exhausted memory of one function
    after which its remaining inputs are skipped. ``max_inputs``: further inputs of a function are skipped.
    ``string_booleans``: the strings true, True, false and False count as the booleans.
    ``audit_rate``: share of calls that are run again in processes of their own, in [0, 1].

    ``workers``: processes at once; 0 means one for each core. ``minimum_isolation``: the level below which the engine
    refuses to start (:data:`LAYERS`); it decides whether something runs, not what comes out.
    """

    workers: int = field(default=0, metadata={"identity": False})
    cpu_seconds: float = 1.0
    wall_seconds: float = 3.0
    memory_mb: int = 512
    kills_per_function: int = 3
    max_inputs: int = 10_000
    minimum_isolation: int = field(default=1, metadata={"identity": False})
    string_booleans: bool = True
    audit_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """A function's source and the inputs to call its ``evaluate`` with."""

    function: str
    inputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class JobResult:
    """Outcomes in the order of the job's inputs.

    ``details``: input index → short text, for the first 32 calls of a function that came to other or error, at index 0
    for load_error, and for every call on which the audit disagreed. The same in every run.
    """

    outcomes: tuple[Outcome, ...]
    details: dict[int, str] = field(default_factory=dict)
    trusted: bool = True
    """False when the audit mode saw the function answer differently in a process of its own."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How far workers are confined. ``level``: the highest layer up to which none is missing.

    ``layers``: number → empty when it holds, else why it does not.
    """

    level: int
    layers: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, hellos: Sequence[dict[int, str]]) -> Isolation:
        """What all workers reached."""
        layers = {0: ""}
        for hello in hellos:
            for number, missing in hello.items():
                layers[number] = layers.get(number) or missing
        level = 0
        while layers.get(level + 1) == "":
            level += 1
        return cls(level, layers)

    def __str__(self) -> str:
        missing = "; ".join(f"no L{number}: {why}" for number, why in sorted(self.layers.items()) if why)
        return f"L{self.level}" + (f" ({missing})" if missing else "")

    def refusal(self, minimum: int) -> str:
        """The line for people when ``minimum`` was asked for and is not there."""
        wanted = self.level + 1
        why = self.layers.get(wanted) or "not tried"
        return (
            f"execution.minimum_isolation is {minimum}, but this machine offers {self.level}: "
            f"layer L{wanted} ({LAYERS.get(wanted, 'unknown')}) is missing: {why}"
        )
