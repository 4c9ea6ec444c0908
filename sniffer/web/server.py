"""uvicorn as we serve with it: on sockets of ours, and with a time limit for a request's head."""

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sniffer.config import split_address
from sniffer.errors import ConfigError

BACKLOG = 512
DRAIN_SECONDS = 3
LONGEST_HEAD = 16_384
"""Octets of a request's first line and headers together."""


class Server(uvicorn.Server):
    """One application on one address, until SIGTERM or Ctrl-C."""

    def __init__(self, app: ASGIApp, patience_seconds: float) -> None:
        """Give a request's head, and a pause between two requests, this long."""
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(patience_seconds),
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=int(patience_seconds) or 1,
                timeout_graceful_shutdown=DRAIN_SECONDS,
                h11_max_incomplete_event_size=LONGEST_HEAD,
            )
        )
        # Whatever the application does wrong, its guard says. The rest is about the clients.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.by: int | None = None
        """The signal that ended it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End by a signal, but do not die of it: the exit code is ours."""
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal."""
        self.by = sig
        super().handle_exit(sig, frame)


def listen(address: str, key: str) -> socket.socket:
    """Return a socket that listens there. Raises ConfigError naming ``key``."""
    host, port = split_address(address)
    _raise_limit()
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or None,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV,
        )
        family, _, _, _, where = found[0]
        return socket.create_server(where[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        why = f"cannot listen on {address}: {error.strerror or error}"
        raise ConfigError(key, "", why) from error


def _raise_limit() -> None:
    """Take as many descriptors as may be had: each connection costs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _protocol(patience_seconds: float) -> type[asyncio.Protocol]:
    """Return the library's protocol, with a time limit for the head of a request.

    The library bounds the pause between two requests only: a connection that never says
    anything, or its head octet by octet, would stay.
    """

    class Patient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:  # noqa: ANN401 (as above it)
            super().connection_made(transport)
            self._expect()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self._expect()
            else:
                self._relax()

        def connection_lost(self, exc: Exception | None) -> None:
            self._relax()
            super().connection_lost(exc)

        def _expect(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(patience_seconds, self.transport.close)

        def _relax(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Patient
