"""The engine that runs untrusted verification functions."""

from autoif.execution.api import ExecutionConfig, Job, JobResult, Outcome

__all__ = ["ExecutionConfig", "Job", "JobResult", "Outcome"]
