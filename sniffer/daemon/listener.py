"""The HTTP listener of the metrics page.

The library's own server gives every path the same page, has no time-outs and starts a
thread for every connection; with TLS one silent connection keeps all others out. This one
makes a bounded number of pages at once, answers 503 to the rest without waiting, and lets
nobody take longer than the time-out in all, TLS handshake included. Connections that have
not asked for anything yet are bounded apart: the one silent for longest goes first. So a
slow, stuck or hostile scraper costs the others one page for a while and the caller nothing.
"""

import errno
import io
import logging
import select
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sniffer.config import LISTEN_ADDRESS, WebSettings, split_address
from sniffer.daemon.web_config import WebConfig
from sniffer.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

LONGEST_HEAD = 16_384
"""Octets of a request's first line and headers together."""

LINGER_SECONDS = 1.0
"""How long the reader of a 503 is given to fetch it before its connection is closed."""

CONNECTIONS = 64
"""Connections with a thread at once; beyond it the one silent for longest is closed."""

LOOK_SECONDS = 0.1
"""How often refused connections are looked at, while there are any."""

LINGERING = 64
"""Refused connections kept open for that at once; beyond it the oldest is closed."""

HANG_UP_SECONDS = 0.5
"""How long the end of a connection is waited for that made room for another one."""

HEADERS = {"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff"}
RETRY = (("Retry-After", "1"),)

_Connection = Any  # the standard library's own words for these differ from what it passes
_Peer = Any

Page = tuple[HTTPStatus, list[tuple[str, str]], bytes]


class Listener:
    """Serves ``/metrics``, ``/-/healthy``, ``/-/ready`` and a landing page on one address.

    ``registry`` is collected once per scrape. ``ready`` is asked once per ``/-/ready``; both
    are called from threads of this listener, at most ``settings.scrapes`` at a time.
    """

    def __init__(
        self, settings: WebSettings, registry: "Collector", ready: Callable[[], bool]
    ) -> None:
        """Take what to serve; nothing is bound before ``start``."""
        from prometheus_client import make_wsgi_app

        self._settings = settings
        self._metrics = make_wsgi_app(registry)
        self._ready = ready
        self._web: WebConfig | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Bind the address and serve from a thread of its own.

        Raises ConfigError, naming the address and why, if it cannot be bound; or naming what
        is wrong in the web configuration file.
        """
        where = self._settings.listen_address
        self._web = WebConfig(self._settings.config_file)
        for family, address in _resolve(where):
            try:
                self._server = _Server(family, address, self._settings, self._page, self._web)
                break
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise _unusable(where, error) from error
                failed = error
        else:
            raise _unusable(where, failed) from failed
        self._thread = threading.Thread(target=self._server.serve, name="metrics", daemon=True)
        self._thread.start()

    def use(self, settings: WebSettings) -> None:
        """Go on with another time-out and web configuration file; the address stays.

        Raises ConfigError, or ConfigErrors, where that file cannot be used.
        """
        if self._server is None:
            return
        if settings.config_file != self._settings.config_file:
            self._web = self._server.web = WebConfig(settings.config_file)
        self._server.request_seconds = settings.request_seconds
        self._settings = settings

    def close(self) -> None:
        """Stop listening. Answers under way end by themselves; closing twice does no harm."""
        server, self._server = self._server, None
        if server is None:
            return
        server.stop()
        if self._thread is not None:
            self._thread.join()
        server.server_close()

    @property
    def url(self) -> str:
        """The address as a browser on this machine takes it, with the port really bound."""
        if self._server is None or self._web is None:
            raise RuntimeError("the listener is not started")
        scheme = "http" if self._web.current().tls is None else "https"
        host, port = self._server.server_address[:2]
        host = "127.0.0.1" if host in ("0.0.0.0", "::") else str(host)  # noqa: S104 (compared)
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def _page(self, path: str, query: str, accept: str, encoding: str) -> Page:
        if path == "/metrics":
            return self._scrape(query, accept, encoding)
        if path == "/-/healthy":
            return _text(HTTPStatus.OK, "HelloWatch is healthy.\n")
        if path == "/-/ready":
            if self._ready():
                return _text(HTTPStatus.OK, "HelloWatch is ready.\n")
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "HelloWatch is not ready yet.\n")
        if path == "/":
            return HTTPStatus.OK, [("Content-Type", "text/html; charset=utf-8")], LANDING_PAGE
        return _text(HTTPStatus.NOT_FOUND, "No such page; the metrics are at /metrics.\n")

    def _scrape(self, query: str, accept: str, encoding: str) -> Page:
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            begun.append((status, headers))

        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/metrics",
            "QUERY_STRING": query,
            "HTTP_ACCEPT": accept,
            "HTTP_ACCEPT_ENCODING": encoding,
        }
        body = b"".join(cast(Iterable[bytes], self._metrics(environ, start_response)))
        status, headers = begun[-1]
        return HTTPStatus(int(status.split(" ", 1)[0])), headers, body


LANDING_PAGE = b"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>HelloWatch</title></head>
<body><h1>HelloWatch</h1>
<p>Finds, from the wire alone, the devices that break when a mail provider refuses old TLS.</p>
<ul>
<li><a href="/metrics">Metrics</a> for Prometheus</li>
<li><a href="/-/healthy">Healthy</a>: the process answers</li>
<li><a href="/-/ready">Ready</a>: the inventory is being filled</li>
</ul></body></html>
"""


def _text(status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Page:
    content = ("Content-Type", "text/plain; charset=utf-8")
    return status, [content, *headers], text.encode("utf-8")


def _unusable(where: str, error: OSError | UnicodeError) -> ConfigError:
    why = getattr(error, "strerror", None) or str(error)
    return ConfigError("", LISTEN_ADDRESS, f"cannot listen on {where}: {why}")


def _resolve(where: str) -> list[tuple[int, tuple[Any, ...]]]:
    """Return families and addresses of ``HOST:PORT``, ``[IPV6]:PORT`` or ``:PORT``, best first."""
    host, port = split_address(where)
    if not host:
        # Every address: both families through one socket, or IPv4 where there is no IPv6.
        return [(socket.AF_INET6, ("::", port)), (socket.AF_INET, ("0.0.0.0", port))]  # noqa: S104
    try:
        found = socket.getaddrinfo(
            host.strip("[]"),
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except (OSError, UnicodeError) as error:
        raise _unusable(where, error) from error
    return [(family, address) for family, _, _, _, address in found]


class _Server(ThreadingMixIn, TCPServer):
    """A thread for each request, up to the bound; a short 503 beyond it."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        family: int,
        address: tuple[Any, ...],
        settings: WebSettings,
        page: Callable[[str, str, str, str], Page],
        web: WebConfig,
    ) -> None:
        self.address_family = family
        self.page = page
        self.web = web
        self.request_seconds = settings.request_seconds
        self.room = threading.BoundedSemaphore(settings.scrapes)
        """For pages that are made and sent."""
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._silent: dict[int, _Silent] = {}
        """By descriptor: connections without a request, the one silent for longest first."""
        self._lock = threading.Lock()
        self._refused: deque[tuple[float, socket.socket]] = deque()
        self._stop, self._stopped = socket.socketpair()
        super().__init__(address, _Request)

    def serve(self) -> None:
        """Answer until ``stop``; asleep as long as nobody comes."""
        self.timeout = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while True:
                ready = selector.select(LOOK_SECONDS if self._refused else None)
                if any(key.fileobj is self._stopped for key, _ in ready):
                    return
                if ready:
                    self.handle_request()
                self.service_actions()

    def stop(self) -> None:
        """Have ``serve`` return."""
        self._stop.close()

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6 and self.server_address[0] == "::":
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.05)  # no descriptor to be had: do not spin until there is
            raise

    def process_request(self, request: _Connection, client_address: _Peer) -> None:
        # The thread of one that was hung up on ends in a moment; its place is ours then.
        if not self._places.acquire(blocking=False) and not (
            self._hang_up_on_the_most_silent() and self._places.acquire(timeout=HANG_UP_SECONDS)
        ):
            self._refuse(request)
            return
        descriptor = request.fileno()
        deadline = time.monotonic() + self.request_seconds
        with self._lock:
            self._silent[descriptor] = _Silent(request, deadline)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self.has_spoken(descriptor)
            self._places.release()
            self._refuse(request)

    def process_request_thread(self, request: _Connection, client_address: _Peer) -> None:
        descriptor = request.fileno()
        try:
            secured = self._secure(request, descriptor)
            if secured is None:
                self.has_spoken(descriptor)
                self.shutdown_request(request)
            else:
                super().process_request_thread(secured, client_address)
        finally:
            self._places.release()

    def shutdown_request(self, request: _Connection) -> None:
        with self._lock:
            # Before its number is another one's.
            self._silent.pop(request.fileno(), None)
        super().shutdown_request(request)

    def deadline(self, request: socket.socket) -> float:
        """Return when a connection has to be done."""
        with self._lock:
            silent = self._silent.get(request.fileno())
        return time.monotonic() if silent is None else silent.deadline

    def has_spoken(self, descriptor: int) -> None:
        """Count a connection among those that wait for their answer."""
        with self._lock:
            self._silent.pop(descriptor, None)

    def _hang_up_on_the_most_silent(self) -> bool:
        with self._lock:
            if not self._silent:
                return False
            silent = self._silent.pop(next(iter(self._silent)))
            # Its thread wakes up and closes it. Past TLS, which is not this thread's.
            with suppress(OSError):
                socket.socket.shutdown(silent.connection, socket.SHUT_RDWR)
            return True

    def _secure(self, request: socket.socket, descriptor: int) -> socket.socket | None:
        """Shake hands where TLS is spoken; None: the other side does not, or takes too long."""
        tls = self.web.current().tls
        if tls is None:
            return request
        deadline = self.deadline(request)
        try:
            request.settimeout(max(deadline - time.monotonic(), 0.001))
            first = request.recv(1, socket.MSG_PEEK)
            if first.isalpha():
                request.sendall(_NO_TLS)
                return None
            request.setblocking(False)
            secured = tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        except OSError:
            return None
        with self._lock:
            if descriptor in self._silent:
                self._silent[descriptor] = _Silent(secured, deadline)
        try:
            _shake_hands(secured, deadline)
        except OSError as error:
            logger.debug("A TLS handshake failed", {"error": error})
            self.shutdown_request(secured)
            return None
        return secured

    def handle_error(self, request: _Connection, client_address: _Peer) -> None:
        # A client that went away is no news; anything else was caught where pages are made.
        logger.debug("A request for metrics broke off", exc_info=True)

    def service_actions(self) -> None:
        """Close the connections that were refused: those gone, and those out of time."""
        now = time.monotonic()
        for _ in range(len(self._refused)):
            until, request = self._refused.popleft()
            if now >= until or _has_ended(request):
                request.close()
            else:
                self._refused.append((until, request))

    def server_close(self) -> None:
        super().server_close()
        self._stopped.close()
        while self._refused:
            self._refused.popleft()[1].close()

    def _refuse(self, request: socket.socket) -> None:
        if self.web.current().tls is not None:
            request.close()  # what could be said in clear would not be understood
            return
        # In the accepting thread, so nothing here may wait. To close at once would reset the
        # connection under a client still writing, and take the answer away with it.
        try:
            request.setblocking(False)
            request.send(_BUSY)
            request.shutdown(socket.SHUT_WR)
        except OSError:
            request.close()
            return
        if len(self._refused) >= LINGERING:
            self._refused.popleft()[1].close()
        self._refused.append((time.monotonic() + LINGER_SECONDS, request))


class _Silent(NamedTuple):
    """A connection without a request, and when it has to be done."""

    connection: socket.socket
    deadline: float


def _shake_hands(secured: ssl.SSLSocket, deadline: float) -> None:
    """Do a TLS handshake in good time. Raises OSError."""
    while True:
        try:
            return secured.do_handshake()
        except ssl.SSLWantReadError:
            wanted = select.POLLIN
        except ssl.SSLWantWriteError:
            wanted = select.POLLOUT
        poll = select.poll()
        poll.register(secured, wanted)
        if not poll.poll(max(0, 1000 * (deadline - time.monotonic()))):
            raise TimeoutError


_NO_TLS_TEXT = b"This page speaks TLS: ask by https.\n"
_NO_TLS = (
    b"HTTP/1.0 400 Bad Request\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"
    b"Connection: close\r\n\r\n%s"
) % (len(_NO_TLS_TEXT), _NO_TLS_TEXT)

_BUSY_TEXT = b"Too many requests at once; try again.\n"
_BUSY = (
    b"HTTP/1.0 503 Service Unavailable\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"
    b"Retry-After: 1\r\n"
    b"Connection: close\r\n\r\n%s"
) % (len(_BUSY_TEXT), _BUSY_TEXT)


def _has_ended(request: socket.socket) -> bool:
    try:
        return not request.recv(65_536)
    except BlockingIOError:
        return False
    except OSError:
        return True


class _Request(BaseHTTPRequestHandler):
    """One request, one answer, one deadline for both."""

    server: _Server
    server_version = "HelloWatch"
    sys_version = ""
    default_request_version = "HTTP/1.0"  # a refusal has a status line, whatever was asked

    def setup(self) -> None:
        self.connection = self.request
        self._deadline = self.server.deadline(self.request)
        self.rfile = io.BytesIO()
        self.wfile = cast(io.BufferedIOBase, _Answer(self.request, self._deadline))

    def handle(self) -> None:
        self.close_connection = True
        status, head = self._read_head()
        self.server.has_spoken(self.request.fileno())
        if status is not None:
            self.requestline, self.request_version, self.command = "", "HTTP/1.0", "GET"
            self.send_error(status)
        elif head:
            self.rfile = io.BytesIO(head)
            self.handle_one_request()

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        self.close_connection = True
        if self.command in ("GET", "HEAD"):
            return True
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)
        return False

    def do_GET(self) -> None:
        """Answer with a page; for HEAD with its headers alone."""
        users = self.server.web.current().users
        if users is not None and not users.admit(self.headers.get("Authorization")):
            self._send(_text(HTTPStatus.UNAUTHORIZED, "Unauthorized.\n"))
            return
        if not self.server.room.acquire(blocking=False):
            self._send(_text(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY_TEXT.decode(), *RETRY))
            return
        try:
            self._give_page()
        finally:
            self.server.room.release()

    def _give_page(self) -> None:
        path, _, query = self.path.partition("?")
        try:
            page = self.server.page(
                path,
                query,
                ",".join(self.headers.get_all("Accept", ())),
                ",".join(self.headers.get_all("Accept-Encoding", ())),
            )
        except Exception as error:  # the request border
            logger.error("A page could not be made", {"path": path, "error": error})
            page = _text(HTTPStatus.INTERNAL_SERVER_ERROR, "The page could not be made.\n")
        self._send(page)

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with one line of text; what the client sent is not repeated."""
        status = HTTPStatus(code)
        self._send(_text(status, f"{status.phrase}.\n"))

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a scrape is no news."""

    def _send(self, page: Page) -> None:
        status, headers, body = page
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="HelloWatch", charset="UTF-8"')
        self.send_header("Content-Length", str(len(body)))
        for name, value in {**HEADERS, **self.server.web.current().headers}.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _read_head(self) -> tuple[HTTPStatus | None, bytes]:
        """Read up to the empty line: the head, or the status that refuses it."""
        head = bytearray()
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                return (HTTPStatus.REQUEST_TIMEOUT if head else None), b""
            self.request.settimeout(left)
            try:
                more = self.request.recv(LONGEST_HEAD)
            except TimeoutError:
                continue
            head += more
            if len(head) > LONGEST_HEAD:
                return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b""
            if b"\r\n\r\n" in head or b"\n\n" in head:
                return None, bytes(head)
            if not more:
                return None, b""


class _Answer:
    """What is written goes out whole before the deadline, or TimeoutError ends the request."""

    closed = False

    def __init__(self, request: socket.socket, deadline: float) -> None:
        self._request, self._deadline = request, deadline

    def write(self, octets: bytes) -> int:
        self._request.settimeout(max(self._deadline - time.monotonic(), 0.001))
        self._request.sendall(octets)
        return len(octets)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def close(self) -> None:
        """Leave the connection to the server, which closes it."""
