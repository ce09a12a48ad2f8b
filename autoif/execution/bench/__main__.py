"""Side by side, in one run on one machine: what a call costs in each way of running verification functions.

CPU seconds are those of this process and of every process below it, read after they have ended; what starting and
ending an engine costs is measured apart and taken off. Rates are medians of ``--repeats`` rounds in which every way
takes its turn, so that a busy moment does not fall on one of them alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from autoif.execution.bench import crowd, limits, material, patterns

_SIZES = (50, 100, 500)
_UPSTREAM, _UPSTREAM_CALL, _FLOOR = "exec per function", "exec per call", "floor"


@dataclass
class Way:
    """One way to run functions. ``calls``: how many calls a round makes. ``engine``: (workers, ceiling, lane).

    ``new``: no two functions are the same, as in cross verification; else they come in turn, as when responses are
    verified. ``few_inputs``: each call costs the same however many a function has, so a few are enough.
    """

    name: str
    calls: int
    run: Callable[[list[str], list[str]], int] | None = None
    engine: tuple[int, int, str] | None = None
    new: bool = False
    few_inputs: bool = False
    per_second: list[float] = field(default_factory=list)
    per_cpu_second: list[float] = field(default_factory=list)

    def rates(self) -> dict[str, float]:
        """Medians over the rounds."""
        return {
            "calls_per_second": round(statistics.median(self.per_second)),
            "calls_per_cpu_second": round(statistics.median(self.per_cpu_second)),
        }


def _cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def _round(way: Way, functions: list[str], inputs: list[str]) -> None:
    """One measurement. Every way runs all functions equally often, as some cost ten times what others do."""
    if way.few_inputs:
        inputs = inputs[: max(1, way.calls // len(functions))]
    turns = max(1, round(way.calls / len(functions) / len(inputs)))
    chosen = functions * turns
    if way.new:
        chosen = [f"{source}# {number}\n" for number, source in enumerate(chosen)]
    if way.engine:
        before = _cpu()
        with patterns.engine(*way.engine):
            pass
        overhead = _cpu() - before
        before = _cpu()
        with patterns.engine(*way.engine) as engine:
            started = time.perf_counter()
            calls = patterns.ours(engine, chosen, inputs)
            seconds = time.perf_counter() - started
        spent = _cpu() - before - overhead
    elif way.run:
        run = partial(way.run, chosen, inputs)
        if way.name == _FLOOR:
            run = partial(patterns.floor, patterns.compiled(chosen), inputs)
        before, started = _cpu(), time.perf_counter()
        calls = run()
        seconds, spent = time.perf_counter() - started, _cpu() - before
    way.per_second.append(calls / seconds)
    way.per_cpu_second.append(calls / spent)


def _ways(scale: float, level: int, workers: int) -> list[Way]:
    def calls(count: int) -> int:
        return max(1, int(count * scale))

    ways = [
        Way(_FLOOR, calls(100_000), run=patterns.exec_per_function),  # replaced by the compiled loop in a round
        Way(_UPSTREAM_CALL, calls(6_400), run=patterns.exec_per_call),
        Way(_UPSTREAM, calls(50_000), run=patterns.exec_per_function),
        Way("process per function", calls(10_000), run=patterns.process_per_function),
        Way("process per call", calls(64), run=patterns.process_per_call, few_inputs=True),
    ]
    ways += [Way(f"ours, L{at}", calls(100_000), engine=(1, at, "shared")) for at in range(level + 1)]
    ways += [
        Way(f"ours, L{level}, every function new", calls(100_000), engine=(1, level, "shared"), new=True),
        Way(f"ours, L{level}, a process per function", calls(20_000), engine=(1, level, "own")),
        Way(f"ours, L{level}, a process per call", calls(640), engine=(1, level, "each"), few_inputs=True),
    ]
    if workers > 1:
        ways.append(
            Way(f"ours, L{level}, {workers} workers", calls(100_000 * workers), engine=(workers, level, "shared"))
        )
    return ways


def run(repeats: int, scale: float, words: tuple[int, int] = material.CASE_WORDS) -> dict[str, object]:
    """Measure everything. Returns plain values: ratios, then rates by inputs per function, then the circumstances."""
    with patterns.engine(1, 4) as engine:
        isolation = engine.isolation
    functions, workers = material.functions(), len(os.sched_getaffinity(0))
    ratios, rates = {}, {}
    for size in _SIZES:
        inputs = material.answers(size, words)
        ways = {way.name: way for way in _ways(scale, isolation.level, workers)}
        for number in range(1, repeats + 1):
            for way in ways.values():
                _round(way, functions, inputs)
                told = f"{size} inputs, round {number}, {way.name}: {way.per_cpu_second[-1]:,.0f} calls per CPU-second"
                print(told, file=sys.stderr, flush=True)
        rates[str(size)] = {name: way.rates() for name, way in ways.items()}
        best = statistics.median(ways[f"ours, L{isolation.level}"].per_cpu_second)
        ratios[str(size)] = {
            f"ours to {name}, per CPU-second": round(best / statistics.median(ways[name].per_cpu_second), 2)
            for name in (_UPSTREAM, _UPSTREAM_CALL, _FLOOR)
        }
        if workers > 1:
            several = statistics.median(ways[f"ours, L{isolation.level}, {workers} workers"].per_second)
            one = statistics.median(ways[f"ours, L{isolation.level}"].per_second)
            ratios[str(size)][f"{workers} workers to one, per second"] = round(several / one, 2)
    return {
        "ratios": ratios,
        "rates": rates,
        "milliseconds": limits.run(repeats),
        "isolation": str(isolation),
        "functions": len(functions),
        "words_per_input": list(words),
        "cores": workers,
        "load_average": os.getloadavg()[0],
        "python": sys.version.split()[0],
        "kernel": os.uname().release,
    }


def main() -> None:
    """Print the measurements, ratios first."""
    parser = argparse.ArgumentParser(prog="python -m autoif.execution.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the calls of a full round (default 1)")
    parser.add_argument("--words", type=int, nargs=2, default=material.CASE_WORDS, metavar=("LOW", "HIGH"))
    parser.add_argument("--crowd", action="store_true", help="only: 200 good functions with 80 misbehaving among them")
    options = parser.parse_args()
    if options.crowd:
        measured = crowd.run()
        print(json.dumps(measured, indent=1) if options.json else "\n".join(f"{k:<34}{v}" for k, v in measured.items()))
        return
    result = run(options.repeats, options.scale, tuple(options.words))
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for heading in ("ratios", "rates"):
        for size, rows in result[heading].items():  # type: ignore[attr-defined]
            print(f"{heading}, {size} inputs per function")
            for name, value in rows.items():
                text = f"{value:>8}" if heading == "ratios" else "".join(f"{rate:>12,}" for rate in value.values())
                print(f"  {name:<44}{text}")
    print("rates are calls per second, calls per CPU-second")
    print(*(f"{name:<46}{value:>8} ms" for name, value in result["milliseconds"].items()), sep="\n")  # type: ignore[attr-defined]
    print(*(f"{name}: {result[name]}" for name in list(result)[3:]), sep="; ")


if __name__ == "__main__":
    main()
