"""The ways to run verification functions that the benchmark compares, each as others do it.

They run the benchmark's own functions only: none of them confines anything. Each takes sources and inputs and returns
the number of calls it made.
"""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext
from typing import Any

from autoif.execution import ExecutionConfig, ExecutionEngine, Job

Functions = Sequence[str]
Inputs = Sequence[str]
_LIMIT_SECONDS = 5


def _evaluator(source: str) -> Callable[[str], Any]:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    evaluate: Callable[[str], Any] = namespace["evaluate"]
    return evaluate


def _safely(evaluate: Callable[[str], Any], text: str) -> Any:
    try:
        return evaluate(text)
    except Exception:
        return None


def _on_alarm(number: int, frame: Any) -> None:
    raise TimeoutError


def _with_alarm(evaluate: Callable[[str], Any], text: str) -> Any:
    """As upstream does: handler and alarm set anew for each call."""
    try:
        signal.signal(signal.SIGALRM, _on_alarm)
        signal.alarm(_LIMIT_SECONDS)
        return evaluate(text)
    except Exception:
        return None
    finally:
        signal.alarm(0)


def compiled(functions: Functions) -> list[Callable[[str], Any]]:
    """For the floor: everything loaded before the clock starts."""
    return [_evaluator(source) for source in functions]


def floor(evaluators: Sequence[Callable[[str], Any]], inputs: Inputs) -> int:
    """Loaded functions called in a loop in this process: what the calls themselves cost."""
    for evaluate in evaluators:
        for text in inputs:
            _safely(evaluate, text)
    return len(evaluators) * len(inputs)


def exec_per_function(functions: Functions, inputs: Inputs) -> int:
    """``exec`` for each function and an alarm for each call, in this process (upstream's step 7)."""
    re.purge()  # patterns that another way has compiled
    for source in functions:
        evaluate = _evaluator(source)
        for text in inputs:
            _with_alarm(evaluate, text)
    return len(functions) * len(inputs)


def exec_per_call(functions: Functions, inputs: Inputs) -> int:
    """``exec`` and an alarm for each call, in this process (upstream's step 3)."""
    re.purge()
    for source in functions:
        for text in inputs:
            _with_alarm(_evaluator(source), text)
    return len(functions) * len(inputs)


def _child(source: str, inputs: Inputs, pipe: Connection) -> None:
    pipe.send([_safely(_evaluator(source), text) is True for text in inputs])


def process_per_function(functions: Functions, inputs: Inputs) -> int:
    """A forked process for each function, results over a pipe (as evalplus does for each task)."""
    context: ForkContext = multiprocessing.get_context("fork")
    for source in functions:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(source, inputs, sender))
        process.start()
        sender.close()
        if receiver.poll(_LIMIT_SECONDS * len(inputs)):
            receiver.recv()
        process.join()
    return len(functions) * len(inputs)


def _managed(source: str, text: str, results: Any) -> None:
    results.append(_safely(_evaluator(source), text) is True)


def process_per_call(functions: Functions, inputs: Inputs) -> int:
    """A manager and a forked process for each call (as human-eval does for each sample)."""
    context: ForkContext = multiprocessing.get_context("fork")
    for source in functions:
        for text in inputs:
            with context.Manager() as manager:
                results = manager.list()
                process = context.Process(target=_managed, args=(source, text, results))
                process.start()
                process.join(_LIMIT_SECONDS)
    return len(functions) * len(inputs)


def ours(engine: ExecutionEngine, functions: Functions, inputs: Inputs) -> int:
    """This engine."""
    return sum(len(result.outcomes) for result in engine.run(Job(source, inputs) for source in functions))


def engine(workers: int, ceiling: int, lane: str = "shared") -> ExecutionEngine:
    """An engine for :func:`ours` that stops at isolation level ``ceiling``."""
    return ExecutionEngine(ExecutionConfig(workers=workers, minimum_isolation=0), ceiling=ceiling, lane=lane)
