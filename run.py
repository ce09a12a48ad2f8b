"""The one command: compose the configuration, check it, run its task. ``python run.py --help`` says how."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run with command-line ``arguments``; returns the exit code: 1 for a user's mistake, 130 when stopped."""
    from autoif.errors import AutoifError

    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except AutoifError as error:
        print(f"autoif: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, say) has seen enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("autoif: stopped; run the same command again to go on", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        from autoif import usage

        print(usage.text(Path(__file__).resolve().parent / "conf"))
        return 0
    from autoif import border

    overrides = [argument for argument in arguments if argument not in ("-m", "--multirun")]
    if any(argument.startswith("-") for argument in overrides):
        return border.hydra_command(arguments)
    cfg, sweep = border.compose_any(overrides, multirun=len(overrides) < len(arguments))
    if sweep:
        from autoif.sweep import run

        return run(cfg, typed=len(overrides) < len(arguments))
    config = border.convert(cfg)
    from autoif.tasks import dispatch

    dispatch(config, overrides)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
