"""The bytes that stand for outcomes between a job child, its zygote and the supervisor, and the batch kinds."""

from __future__ import annotations

TRUE, FALSE, NONE, OTHER, ERROR, MEMORY, LOAD_ERROR, TIMEOUT, CRASH, SKIPPED = range(1, 11)
"""Positions in :class:`autoif.execution.api.Outcome`, counted from 1; 0 means that no outcome was written yet."""

DEFER = 255
"""Written by a shared child for a function that the purity gate refused: it gets a process of its own."""

CHILD_CODES = frozenset((TRUE, FALSE, NONE, OTHER, ERROR, MEMORY, LOAD_ERROR))
"""What a job child may say about a call. Time-outs, crashes and skipped calls are seen from outside."""

VALID = bytes(code if code in CHILD_CODES else CRASH for code in range(256))
"""Translation table: a byte that no honest child writes is a crash."""

RESTING, AWAKE = "resting", "awake"
"""What a zygote says while it works on a batch: its child sleeps and leaves its core free; it no longer does."""

SHARED = "shared"
"""Functions that pass the purity gate share a child; the others get one each."""
OWN = "own"
"""A child for each function; a kill hands the function back so that it does not hold up its batch."""
SLOW = "slow"
"""The same, for functions that were killed before: they take long."""
EACH = "each"
"""A child for each call (audit)."""
PROGRAM = "program"
"""A child for each program text."""
