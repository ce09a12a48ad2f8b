"""One point of a sweep in a process of its own: ``python -m autoif.point FD``, its configuration on standard input.

Whatever ends a point, memory included, ends this process alone. Why it failed goes to the file descriptor in one line.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import traceback
from contextlib import suppress

from autoif.config import RunConfig
from autoif.errors import AutoifError
from autoif.processes import PARENT, die_with_parent


def run_in_child(config: RunConfig) -> str | None:
    """Run a point; None, or why it failed. Stopping this process stops the point."""
    read, write = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", "autoif.point", str(write)],
        stdin=subprocess.PIPE,
        pass_fds=[write],
        env={**os.environ, PARENT: str(os.getpid())},
    )
    os.close(write)
    try:
        assert child.stdin is not None
        with suppress(BrokenPipeError), child.stdin as source:
            source.write(pickle.dumps(config))
        with os.fdopen(read, "r", errors="replace") as answer:
            reason = answer.read()
        code = child.wait()
    except BaseException:
        child.kill()
        child.wait()
        raise
    return None if code == 0 else reason or _ended(code)


def _ended(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}" + (", most likely for memory" if name == "SIGKILL" else "")
    return f"its process ended with exit code {code}"


def run(config: RunConfig) -> str | None:
    """Run a point in this process; None, or why it failed. A bug prints its traceback."""
    from autoif.tasks import dispatch

    try:
        print(f"\n── {config.name}", flush=True)
        dispatch(config)
    except AutoifError as error:
        print(f"autoif: {error}", file=sys.stderr, flush=True)
        return str(error)
    except Exception as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return None


def main(arguments: list[str]) -> int:
    """Read the configuration, run it, report."""
    die_with_parent()
    config = pickle.load(sys.stdin.buffer)
    try:
        reason = run(config)
    except KeyboardInterrupt:
        return 130
    with os.fdopen(int(arguments[0]), "w") as answer:
        answer.write(reason or "")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
