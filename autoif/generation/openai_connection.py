"""A connection to one OpenAI-compatible server: the ``openai`` package's HTTP client, address and headers.

The package makes options, headers and a copy of the body anew for every request, which takes longer than sending it. So
its HTTP client is used here as it stands, with the address and the headers that the package would send, made once.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import msgspec

from autoif.generation.openai_replies import Transient

_encoder = msgspec.json.Encoder()


class Connection:
    """To ``url`` (None: the OpenAI API). ``timeout``: seconds until an answer is given up."""

    def __init__(self, url: str | None, key: str, timeout: float) -> None:
        import openai

        # aiohttp's transport carries more requests per second than the package's default, where it is installed.
        fast = importlib.util.find_spec("aiohttp") is not None and hasattr(openai, "DefaultAioHttpClient")
        kind = openai.DefaultAioHttpClient if fast else openai.DefaultAsyncHttpxClient
        self._http: Any = kind(timeout=timeout)
        self._timeout = timeout
        client = openai.AsyncOpenAI(api_key=key, base_url=url, http_client=self._http)
        self._address = f"{str(client.base_url).rstrip('/')}/chat/completions"
        own = {name: value for name, value in client.default_headers.items() if isinstance(value, str)}
        self._headers = own | {"Authorization": f"Bearer {key}"}
        library = _library(kind)
        self._broken, self._late = library.TransportError, library.TimeoutException

    async def post(self, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        """Send ``body``; returns the reply's status, headers and content.

        Raises:
            Transient: when no reply came.
        """
        try:
            reply = await self._http.post(self._address, content=_encoder.encode(body), headers=self._headers)
        except self._broken as error:
            # Transports differ in what they call a refused connection; the cause tells.
            cause = error.__cause__ or error
            if isinstance(error, self._late) and "Connect" not in type(cause).__name__:
                raise Transient(f"no answer in {self._timeout:g} s") from None
            raise Transient(f"connection failed: {cause}") from None
        return reply.status_code, reply.headers, reply.content

    async def close(self) -> None:
        """Close its sockets."""
        await self._http.aclose()


def _library(kind: type) -> Any:
    """The HTTP library that the package's client builds on; its name differs between versions of the package."""
    base = next(base for base in kind.__mro__ if base.__name__ == "AsyncClient")
    return importlib.import_module(base.__module__.partition(".")[0])
