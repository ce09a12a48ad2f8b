"""The engine that runs untrusted verification functions, fast and confined.

    >>> with ExecutionEngine(ExecutionConfig()) as engine:
    ...     for result in engine.run([Job("def evaluate(response): return 'a' in response", ["abc", "xyz"])]):
    ...         print([outcome.value for outcome in result.outcomes])
    ['true', 'false']

A supervisor (:mod:`.engine`, :mod:`.run`) feeds workers (:mod:`.worker`), fresh interpreters that confine themselves
and fork a job child for each batch (:mod:`.confined`).

What is *not* covered:

- A function can forge its *own* rows: it shares a process with the code that writes them. It gains nothing by it that
  returning those values would not give, and cannot reach other functions' rows. Where what it forges depends on the
  calls before, ``audit_rate`` finds it by running a sample of calls alone.
- Below level 2 (no Landlock) functions can read what the user can read, the supervisor's environment included. Nothing
  they read can leave but through the short texts in ``details``; ``minimum_isolation: 2`` refuses such machines.
- That a file exists can be seen at every level (``stat`` needs no permission on the file).
- A hole in the kernel itself and side channels (timing, caches) are out of scope: a virtual machine helps there.
- Without level 4, memory is bounded for each process, not for all of a worker together.
- Functions may read the clock; what depends on it is not reproducible.
"""

from autoif.execution.api import ExecutionConfig, Isolation, Job, JobResult, Outcome
from autoif.execution.engine import ExecutionEngine

__all__ = ["ExecutionConfig", "ExecutionEngine", "Isolation", "Job", "JobResult", "Outcome"]
