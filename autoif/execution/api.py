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


@dataclass(kw_only=True, slots=True)
class ExecutionConfig:
    """Limits (part of what a result means) and workers (not part of it).

    ``workers`` 0 means one for each core. ``cpu_seconds`` and ``wall_seconds`` bound one call.
    """

    workers: int = 0
    cpu_seconds: float = 1.0
    wall_seconds: float = 3.0
    memory_mb: int = 512
    kills_per_function: int = 3
    max_inputs: int = 10_000
    minimum_isolation: int = 1
    string_booleans: bool = True
    audit_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """A function's source and the inputs to call its ``evaluate`` with."""

    function: str
    inputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class JobResult:
    """Outcomes in the order of the job's inputs; ``details``: input index → short text for other and error."""

    outcomes: tuple[Outcome, ...]
    details: dict[int, str] = field(default_factory=dict)
    trusted: bool = True
    """False when the audit mode saw the function answer differently in a process of its own."""
