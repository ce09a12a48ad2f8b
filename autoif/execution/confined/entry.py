"""How a worker process starts: load, confine, report the layers, serve."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
from collections.abc import Callable

from . import namespaces, preload, seccomp
from .channel import Channel, Gone
from .zygote import Zygote


def main() -> None:
    """Entry point of a worker process: the socket is file descriptor 3."""
    channel = Channel(socket.socket(fileno=3))
    os.set_inheritable(3, False)
    with contextlib.suppress(Gone):
        settings = channel.receive()
        sys.path[-1:] = settings["path"]  # in place of the folder this package came from
        preload.load(preload.STANDARD)
        for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
            resource.setrlimit(limit, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        layers: dict[int, str] = {}
        ceiling = settings["ceiling"]
        _attempt(layers, ceiling, 3, namespaces.enter)
        zygote = Zygote(channel, settings)  # opens what Landlock hides from here on
        _attempt(layers, ceiling, 1, zygote.give_up_privileges)
        _attempt(layers, ceiling, 2, lambda: zygote.hide_files(settings["readable"]))
        channel.send(layers)
        zygote.serve()
    os._exit(0)


def _attempt(layers: dict[int, str], ceiling: int, number: int, step: Callable[[], None]) -> None:
    """Enter a layer unless it lies above ``ceiling``; note in ``layers`` that it holds (empty) or why it does not."""
    if number <= ceiling:
        layers[number] = ""
        try:
            step()
        except (OSError, seccomp.Unsupported) as error:
            layers[number] = str(error)
