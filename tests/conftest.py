"""Fixtures that many tests share: the execution engine starts once a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autoif.execution import ExecutionConfig, ExecutionEngine


@pytest.fixture(scope="session")
def engine() -> Iterator[ExecutionEngine]:
    """The real execution engine with two workers."""
    with ExecutionEngine(ExecutionConfig(workers=2)) as running:
        yield running
