"""Benchmarks of generation: ``python -m autoif.generation.bench [--engine openai|transformers] [--json]``.

``openai`` compares our client with a bare loop over the ``openai`` package, or with ``--memory`` watches memory over
one long call. ``transformers`` compares local decoding with a plain ``model.generate`` loop at the same batch size.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoif.errors import AutoifError


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m autoif.generation.bench", description="Benchmarks of generation.")
    parser.add_argument("--engine", choices=("openai", "transformers"), default="openai", help="what is measured")
    parser.add_argument("--rounds", type=int, default=3, help="of each side (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    client = parser.add_argument_group("openai")
    client.add_argument("--requests", type=int, default=4000, help="in each round (default: 4000)")
    client.add_argument("--concurrency", type=int, default=256, help="in flight at once (default: 256)")
    client.add_argument("--memory", action="store_true", help="resident memory over one call of --requests instead")
    local = parser.add_argument_group("transformers")
    local.add_argument("--model", type=Path, help="a folder with a chat model (default: the demo's)")
    local.add_argument("--rows", type=int, default=48, help="answers of each load (default: 48)")
    local.add_argument("--batch", type=int, default=16, help="rows at once (default: 16)")
    local.add_argument("--tokens", type=int, default=128, help="the longest answer (default: 128)")
    options = parser.parse_args(arguments)
    try:
        found, text = _local(options) if options.engine == "transformers" else _client(options)
    except AutoifError as error:
        parser.exit(1, f"{error}\n")
    print(json.dumps(found, indent=1) if options.json else text)
    return 0


def _client(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from autoif.generation.bench_client import measure, memory

    if options.memory:
        seen = memory(options.requests, options.concurrency)
        text = "\n".join(f"{number:>9,} requests  {mib:8.1f} MiB" for number, mib in seen)
        return {"resident_mib": {str(number): mib for number, mib in seen}}, text
    found = measure(options.requests, options.concurrency, options.rounds)
    rate, peak = found["requests_per_second"], found["memory"]
    return found, "\n".join(
        [
            f"bare openai client  {rate['bare']:8.1f} requests/s",
            f"ours                {rate['ours']:8.1f} requests/s  ({found['ours_over_bare']:.2f} x)",
            f"peak memory         {peak['first']:8.1f} MiB, {peak['last']:.1f} MiB after the last round",
        ]
    )


def _local(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from autoif.generation.bench_local import demo_model, measure

    found = measure(options.model or demo_model(), options.rows, options.batch, options.tokens, options.rounds)
    lines = [
        f"{load:<6} plain generate {rates['plain']:8.1f} tokens/s, ours {rates['ours']:8.1f} tokens/s "
        f"({rates['ours_over_plain']:.2f} x)"
        for load, rates in found["loads"].items()
    ]
    return found, "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
