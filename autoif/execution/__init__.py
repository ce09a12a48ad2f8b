"""The engine that runs untrusted verification functions."""

from autoif.execution.api import ExecutionConfig, Isolation, Job, JobResult, Outcome
from autoif.execution.engine import ExecutionEngine

__all__ = ["ExecutionConfig", "ExecutionEngine", "Isolation", "Job", "JobResult", "Outcome"]
