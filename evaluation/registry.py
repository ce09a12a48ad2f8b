"""The list of benchmarks: section of the configuration → where its :class:`~evaluation.benchmark.Benchmark` stands."""

from __future__ import annotations

from importlib import import_module

from evaluation.benchmark import Benchmark

_PLACES = {
    "ifeval": "evaluation.ifeval:DEFINITION",
    "gsm8k": "evaluation.gsm8k:DEFINITION",
}


def benchmark(section: str) -> Benchmark:
    """The benchmark that ``evaluation.<section>`` configures; imports its module alone."""
    module, _, name = _PLACES[section].partition(":")
    found: Benchmark = getattr(import_module(module), name)
    return found


def sections() -> tuple[str, ...]:
    """All of them, in the order of results."""
    return tuple(_PLACES)
