"""The shared memory through which a job child reports: one byte for each call, and a bounded area for short texts.

Nothing a child writes is parsed beyond fixed-width integers with checked bounds. The zygote clears the board before
each child and copies it after the child is dead, so a child can only ever speak about its own calls.
"""

from __future__ import annotations

import mmap
import struct

_HEADER = 64
_LOADS, _LOADING, _DETAILS = 0, 1, 2
DETAILS_PER_JOB = 32
"""So many texts are kept for one function: the first ones."""
DETAIL_BYTES = 160
_RECORD = struct.Struct("=IH")
_JOBS = 512
"""At least as many as a batch holds."""
_AREA = _JOBS * DETAILS_PER_JOB * (DETAIL_BYTES + _RECORD.size)


class Board:
    """Result bytes and texts of one job child. ``capacity``: calls it can hold."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._map = mmap.mmap(-1, _HEADER + capacity + _AREA, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        view = memoryview(self._map)
        self._header = view[:_HEADER].cast("I")
        self.results = view[_HEADER : _HEADER + capacity]
        self._area = view[_HEADER + capacity :]

    def clear(self, calls: int) -> None:
        """Make room for ``calls`` results."""
        self.results[:calls] = bytes(calls)
        self._header[:] = memoryview(bytes(_HEADER)).cast("I")

    # Written by the child.

    def loading(self, job: int | None) -> None:
        """Say that the child's function number ``job`` is being loaded; None when that is over."""
        self._header[_LOADS] = (self._header[_LOADS] + 1) & 0xFFFFFFFF
        self._header[_LOADING] = 0 if job is None else job + 1

    def explain(self, position: int, text: str) -> None:
        """Attach a short text to the call at ``position``."""
        data = text[:DETAIL_BYTES].encode("utf-8", "backslashreplace")[:DETAIL_BYTES]
        used = self._header[_DETAILS]
        end = used + _RECORD.size + len(data)
        if end <= _AREA:
            self._area[used:end] = _RECORD.pack(position, len(data)) + data
            self._header[_DETAILS] = end

    # Read by the zygote; every value is the child's word and may be a lie.

    def progress(self, seen: tuple[int, int], loads: int, calls: int) -> tuple[int, int]:
        """(loads begun or ended, first call without a result), neither below what was ``seen`` before.

        ``loads``: how many an honest child may begin and end. No child gets on for ever by saying so.
        """
        first = self._map.find(b"\0", _HEADER + seen[1], _HEADER + calls)
        return max(seen[0], min(loads, self._header[_LOADS])), calls if first < 0 else first - _HEADER

    def loading_job(self) -> int | None:
        """Which function the child was loading."""
        job = self._header[_LOADING]
        return job - 1 if job else None

    def outcomes(self, calls: int) -> bytes:
        """The written results up to the first missing one."""
        return bytes(self.results[:calls]).partition(b"\0")[0]

    def details(self) -> list[tuple[int, bytes]]:
        """(position, text) as the child wrote them."""
        found: list[tuple[int, bytes]] = []
        at, used = 0, min(self._header[_DETAILS], _AREA)
        while at + _RECORD.size <= used and len(found) < _JOBS * DETAILS_PER_JOB:
            position, length = _RECORD.unpack(self._area[at : at + _RECORD.size])
            at += _RECORD.size
            length = min(length, DETAIL_BYTES, used - at)
            found.append((position, bytes(self._area[at : at + length])))
            at += length
        return found
