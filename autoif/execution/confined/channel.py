"""Messages between the supervisor and a zygote. Both ends are trusted; job children never hold either."""

from __future__ import annotations

import marshal
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("=Q")
_CHUNK = 1 << 20


class Gone(Exception):
    """The other end is closed."""


class Channel:
    """Length-prefixed marshalled messages over a stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, message: Any) -> None:
        """Send one message.

        Raises:
            Gone: when the other end is closed.
        """
        data = marshal.dumps(message)
        try:
            self.sock.sendall(_LENGTH.pack(len(data)))
            self.sock.sendall(data)
        except OSError:
            raise Gone from None

    def receive(self) -> Any:
        """Wait for one message.

        Raises:
            Gone: when the other end is closed.
        """
        return marshal.loads(self._exactly(_LENGTH.unpack(self._exactly(_LENGTH.size))[0]))

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            try:
                count = self.sock.recv_into(view[at:], min(size - at, _CHUNK))
            except OSError:
                count = 0
            if not count:
                raise Gone
            at += count
        return data
