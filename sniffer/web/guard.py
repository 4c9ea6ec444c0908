"""What stands before every page: who may ask, how long it may take, what browsers may do.

A page on another site can have a browser ask ours, or be rebound to our address. So every
request has to name a host of ours, and none may come from another origin. Scripts, styles and
pictures are ours alone, and no page of ours is shown inside another one.
"""

import asyncio
import logging
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sniffer.web.problems import Problem, response

logger = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
LEAST_BYTES = 1024
"""Who sends fewer octets of a body in the time he may be silent is let go, too."""
TOO_SLOW = "the request took too long; send it again"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], patience_seconds: float) -> None:
        """Let pass what names one of these hosts, lower case, without a port."""
        self._app = app
        self._hosts = frozenset(hosts)
        self._patience = patience_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, self._patience)
        try:
            self._admit(Headers(scope=scope))
            await self._app(scope, _Body(receive, self._patience).receive, answer.send)
        except Problem as problem:
            if not answer.has_begun:
                await response(problem, scope["path"])(scope, receive, answer.send)
        except (TimeoutError, ClientDisconnect):
            logger.info("Somebody went away, or stopped reading")
        except Exception:  # the border of one request; its answer was given inside
            logger.exception("A request could not be served: our mistake")

    def _admit(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or _name(f"//{host}") not in self._hosts:
            why = "this host name is none of ours; serve.hosts adds one"
            raise Problem(403, why)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Problem(403, "this comes from a page of another site")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _is_visit(headers):
            raise Problem(403, "this comes from a page of another site")


def own_hosts(listens_on: str, more: Iterable[str]) -> set[str]:
    """Return the names under which a page is asked for that listens there."""
    return {*LOOPBACK, listens_on.strip("[]").lower(), *(name.lower() for name in more)} - {""}


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _is_visit(headers: Headers) -> bool:
    """Tell whether somebody follows a link to us, which may stand anywhere."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("origin") is None


class _Body:
    """What a client sends, if it goes on sending."""

    def __init__(self, receive: Receive, patience_seconds: float) -> None:
        self._receive = receive
        self._patience = patience_seconds
        self._until: float | None = None
        self._came = 0
        self._is_over = False

    async def receive(self) -> Message:
        """Return the next message. Raises Problem where the body stops coming."""
        if self._is_over:
            return await self._receive()  # tells that the client went away, whenever it does
        now = asyncio.get_running_loop().time()
        if self._until is None or self._came >= LEAST_BYTES:
            self._until, self._came = now + self._patience, 0
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            raise Problem(408, TOO_SLOW, {"Connection": "close"}) from error
        self._came += len(message.get("body", b""))
        self._is_over = not message.get("more_body", False)
        return message


class _Answer:
    """What a client is sent, with the headers of all, if it goes on reading."""

    def __init__(self, send: Send, patience_seconds: float) -> None:
        self._send = send
        self._patience = patience_seconds
        self.has_begun = False

    async def send(self, message: Message) -> None:
        """Send a message. Raises TimeoutError where nobody reads."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        async with asyncio.timeout(self._patience):
            await self._send(message)
