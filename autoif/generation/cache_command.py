"""``python -m autoif.generation.cache list|export|import``: look at a call cache, and share it as a recording."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from autoif.errors import AutoifError, DataError
from autoif.generation.cache import FILE_NAME, CallCache
from autoif.generation.recorded import RecordingWriter, read_header, read_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: ``list``, ``export`` to a recording, ``import`` from one."""
    parser = argparse.ArgumentParser(prog="python -m autoif.generation.cache", description="Share a call cache.")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/autoif") / FILE_NAME, help="the cache file")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="engines and how many calls each has")
    for name, text in (("export", "write one engine's calls to a recording"), ("import", "add a recording's calls")):
        command = commands.add_parser(name, help=text)
        command.add_argument("file", type=Path, help="the recording (.jsonl or .jsonl.xz)")
        command.add_argument("--engine", help="identity; default: the only one in the cache, or the recording's own")
        if name == "export":
            command.add_argument("--header", action="append", default=[], metavar="NAME=VALUE", help="header field")
    options = parser.parse_args(arguments)
    path = options.cache.expanduser()
    try:
        if options.command != "import" and not path.exists():
            raise DataError(f"no call cache at {path}: name it with --cache")
        cache = CallCache(path)
        match options.command:
            case "list":
                for identity, calls in cache.engines().items():
                    print(f"{calls:>9}  {identity}")
                print(f"{cache.size_bytes() / 2**20:8.1f} MiB in {path}")
            case "export":
                engine = options.engine or _only(cache)
                header = {"engine": engine, **dict(field.split("=", 1) for field in options.header)}
                with RecordingWriter(options.file, header) as writer:
                    for _, request, answer in cache.rows(engine):
                        writer.add(request, answer)
            case "import":
                engine = options.engine or read_header(options.file).engine
                rows = read_rows(options.file)
                count = 0
                while some := list(islice(rows, 256)):
                    cache.put(engine, some)
                    count += len(some)
                print(f"{count} calls of {engine} are in {path}")
        cache.close()
    except AutoifError as error:
        parser.exit(1, f"{error}\n")
    return 0


def _only(cache: CallCache) -> str:
    identities = list(cache.engines())
    if len(identities) != 1:
        raise DataError(f"{cache.path} holds {len(identities)} engines: choose with --engine (list shows them)")
    return identities[0]
