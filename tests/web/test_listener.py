"""The metrics page: its answers, and that no client holds up another (reliability row M2)."""

import gzip
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.registry import Collector, CollectorRegistry

from sniffer.config import WebSettings
from sniffer.daemon.listener import LONGEST_HEAD, Listener
from sniffer.errors import ConfigError

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


class Snapshots(Collector):
    """Counts how often it is collected; waits at a gate, or fails, where a test wants it."""

    def __init__(self) -> None:
        self.taken = 0
        self.gate: threading.Event | None = None
        self.entered = threading.Semaphore(0)
        self.rows = 1
        self.padding = ""
        self.fault: Exception | None = None

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily("hellowatch_snapshot", "Snapshots taken.")]

    def collect(self) -> Iterable[Metric]:
        self.taken += 1
        self.entered.release()
        if self.gate is not None:
            self.gate.wait(30)
        if self.fault is not None:
            raise self.fault
        family = GaugeMetricFamily("hellowatch_snapshot", "Snapshots taken.", labels=["row"])
        for row in range(self.rows):
            family.add_metric([f"{row}{self.padding}"], self.taken)
        return [family]


@pytest.fixture
def snapshots() -> Snapshots:
    return Snapshots()


Serve = Callable[..., Listener]


@pytest.fixture
def serve(snapshots: Snapshots) -> Iterator[Serve]:
    """Start listeners over the one collector; all are closed at the end."""
    started = []
    registry = CollectorRegistry()
    registry.register(snapshots)

    def start(ready: Callable[[], bool] = lambda: True, **settings: object) -> Listener:
        listener = Listener(
            WebSettings(**{"listen_address": "127.0.0.1:0", **settings}), registry, ready
        )
        listener.start()
        started.append(listener)
        return listener

    yield start
    if snapshots.gate is not None:
        snapshots.gate.set()
    for listener in started:
        listener.close()


Answer = tuple[int, dict[str, str], bytes]


def ask(listener: Listener, path: str = "/metrics", method: str = "GET", **headers: str) -> Answer:
    """Make one request; return status, headers in lower case, body."""
    url = urlsplit(listener.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, told, answer.read()
    finally:
        connection.close()


def connect(listener: Listener) -> socket.socket:
    url = urlsplit(listener.url)
    return socket.create_connection((url.hostname or "", url.port or 0), timeout=20)


def drain(connection: socket.socket) -> bytes:
    """Read to the end of a connection, however it ends."""
    octets = b""
    try:
        while more := connection.recv(65_536):
            octets += more
    except ConnectionResetError:
        pass
    return octets


def test_metrics_are_prometheus_text_of_one_snapshot(serve: Serve, snapshots: Snapshots) -> None:
    status, headers, body = ask(serve())
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert [family.name for family in read_text(body.decode())] == ["hellowatch_snapshot"]
    assert snapshots.taken == 1


def test_openmetrics_is_spoken_to_whom_asks_for_it(serve: Serve, snapshots: Snapshots) -> None:
    status, headers, body = ask(serve(), accept="application/openmetrics-text;version=1.0.0")
    assert status == 200
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    assert [family.name for family in read_openmetrics(body.decode())] == ["hellowatch_snapshot"]
    assert snapshots.taken == 1


def test_gzip_is_sent_to_whom_takes_it(serve: Serve) -> None:
    status, headers, body = ask(serve(), accept_encoding="gzip")
    assert status == 200
    assert headers["content-encoding"] == "gzip"
    assert int(headers["content-length"]) == len(body)
    assert gzip.decompress(body).startswith(b"# HELP hellowatch_snapshot")


def test_names_asked_for_are_the_only_ones_given(serve: Serve) -> None:
    listener = serve()
    assert b"hellowatch_snapshot" in ask(listener, "/metrics?name[]=hellowatch_snapshot")[2]
    assert ask(listener, "/metrics?name[]=other")[2] == b""


def test_head_has_the_headers_and_no_body(serve: Serve) -> None:
    status, headers, body = ask(serve(), method="HEAD")
    assert status == 200
    assert int(headers["content-length"]) > 0
    assert body == b""


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/", 200, b'<a href="/metrics">'),
        ("/-/healthy", 200, b"healthy"),
        ("/-/ready", 200, b"ready"),
        ("/metrics/", 404, b"/metrics"),
        ("/favicon.ico", 404, b"/metrics"),
        ("/%2e%2e/etc/passwd", 404, b"/metrics"),
        ("/<script>", 404, b"/metrics"),
    ],
)
def test_pages(serve: Serve, path: str, status: int, text: bytes) -> None:
    got, headers, body = ask(serve(), path)
    assert got == status
    assert text in body
    assert b"<script" not in body
    assert headers["x-content-type-options"] == "nosniff"
    assert "python" not in headers["server"].lower()


def test_pages_other_than_metrics_take_no_snapshot(serve: Serve, snapshots: Snapshots) -> None:
    listener = serve()
    for path in ("/", "/-/healthy", "/-/ready", "/x"):
        ask(listener, path)
    assert snapshots.taken == 0


def test_ready_says_503_until_it_is(serve: Serve) -> None:
    answers = iter([False, True])
    listener = serve(ready=lambda: next(answers))
    assert ask(listener, "/-/ready")[0] == 503
    assert ask(listener, "/-/ready")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])
def test_other_methods_are_not_allowed(serve: Serve, snapshots: Snapshots, method: str) -> None:
    status, headers, _ = ask(serve(), method=method)
    assert status == 405
    assert headers["allow"] == "GET, HEAD"
    assert snapshots.taken == 0


def test_a_collector_that_fails_is_a_500_without_a_traceback(
    serve: Serve,
    snapshots: Snapshots,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = serve()
    snapshots.fault = ValueError("secret detail")
    status, _, body = ask(listener)
    assert status == 500
    assert b"secret" not in body
    assert "Traceback" not in "".join(capfd.readouterr())
    assert [record.msg for record in caplog.records] == ["A page could not be made"]
    snapshots.fault = None
    assert ask(listener)[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * LONGEST_HEAD + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * LONGEST_HEAD, 431),
        (b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 404),
        (b"GET\r\n\r\n", 400),
        (b"GET /metrics HTTP/x\r\n\r\n", 400),
        (b"GET /metrics HTTP/9.0\r\n\r\n", 505),
        (b"\x16\x03\x01\x00\x05hello\r\n\r\n", 400),
    ],
    ids=[
        "long line",
        "endless headers",
        "many headers",
        "no url",
        "no path",
        "version",
        "9.0",
        "tls",
    ],
)
def test_bad_requests_are_refused(
    serve: Serve, snapshots: Snapshots, head: bytes, status: int
) -> None:
    listener = serve()
    with connect(listener) as connection:
        connection.sendall(head)
        answer = drain(connection)
    assert b" %d " % status in answer.split(b"\r\n", 1)[0]
    assert b"hello" not in answer
    assert snapshots.taken == 0
    assert ask(listener)[0] == 200


def test_a_request_that_comes_octet_by_octet_is_answered(serve: Serve) -> None:
    with connect(serve()) as connection:
        for at in range(len(GET)):
            connection.sendall(GET[at : at + 1])
        assert drain(connection).startswith(b"HTTP/1.0 200 OK\r\n")


def test_eight_at_once_and_503_beyond_without_waiting(serve: Serve, snapshots: Snapshots) -> None:
    snapshots.gate = threading.Event()
    listener = serve()
    answers: list[int] = []
    eight = [
        threading.Thread(target=lambda: answers.append(ask(listener)[0]), daemon=True)
        for _ in range(8)
    ]
    for thread in eight:
        thread.start()
    for _ in eight:
        assert snapshots.entered.acquire(timeout=20)
    begun = time.monotonic()
    for _ in range(100):
        status, headers, _ = ask(listener)
        assert status == 503
        assert headers["retry-after"] == "1"
    assert time.monotonic() - begun < 10
    assert snapshots.taken == 8
    snapshots.gate.set()
    for thread in eight:
        thread.join(20)
    assert answers == [200] * 8
    assert eventually(lambda: ask(listener)[0] == 200)


def test_a_hundred_scrapes_at_once_are_all_answered(serve: Serve, snapshots: Snapshots) -> None:
    listener = serve()
    answers: list[int] = []
    start = threading.Barrier(100)

    def scrape() -> None:
        start.wait()
        answers.append(ask(listener)[0])

    threads = [threading.Thread(target=scrape, daemon=True) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 100
    assert set(answers) <= {200, 503}
    assert answers.count(200) == snapshots.taken >= 1
    assert eventually(lambda: ask(listener)[0] == 200)


def test_slow_and_silent_clients_are_let_go_after_the_time_out(serve: Serve) -> None:
    listener = serve(scrapes=2, request_seconds=1.0)
    begun = time.monotonic()
    with connect(listener) as silent, connect(listener) as slow:
        slow.sendall(GET[:10])
        assert ask(listener)[0] == 200
        stop = threading.Event()

        def drip() -> None:
            # Each octet is in good time for itself; all together never come to an end.
            try:
                while not stop.wait(0.2):
                    slow.sendall(b"a")
            except OSError:
                pass

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        assert drain(silent) == b""
        assert drain(slow).startswith(b"HTTP/1.0 408 ")
        assert 0.8 < time.monotonic() - begun < 5
        stop.set()
        dripping.join()
    assert eventually(lambda: ask(listener)[0] == 200)


def test_a_reader_that_is_stuck_is_let_go_after_the_time_out(
    serve: Serve, snapshots: Snapshots
) -> None:
    snapshots.rows, snapshots.padding = 10_000, "x" * 4096  # more than the sockets buffer
    listener = serve(scrapes=1, request_seconds=2.0)
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = urlsplit(listener.url)
        stuck.connect((url.hostname, url.port))
        stuck.sendall(GET)
        assert snapshots.entered.acquire(timeout=20)
        assert ask(listener)[0] == 503
        snapshots.rows, begun = 1, time.monotonic()
        assert eventually(lambda: ask(listener)[0] == 200, seconds=10)
        assert time.monotonic() - begun > 0.5


def test_clients_that_vanish_leave_nothing_behind(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    listener = serve(scrapes=2)
    for _ in range(50):
        with connect(listener) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(GET)
    assert eventually(lambda: ask(listener)[0] == 200)
    assert capfd.readouterr().err == ""


def test_hundreds_of_silent_connections_do_not_stop_the_next_scrape(serve: Serve) -> None:
    listener = serve(scrapes=4, request_seconds=600)
    held = []
    try:
        held.extend(connect(listener) for _ in range(300))
        begun = time.monotonic()
        assert [ask(listener)[0] for _ in range(10)] == [200] * 10
        assert time.monotonic() - begun < 5
    finally:
        for connection in held:
            connection.close()


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Ask again until it holds or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("where", ["127.0.0.1:0", "[::1]:0", ":0", "localhost:0", "[::]:0"])
def test_every_form_of_address_is_listened_on(serve: Serve, where: str) -> None:
    try:
        listener = serve(listen_address=where)
    except ConfigError as error:
        if where == "[::1]:0" and "annot assign" in str(error):
            pytest.skip("this machine has no IPv6")
        raise
    assert ask(listener)[0] == 200


@pytest.mark.parametrize(
    "where",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "::1:80",
        "a b:1",
        "x:\u0663",
    ],
)
def test_an_address_that_is_none_is_a_usage_error(serve: Serve, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        serve(listen_address=where)
    assert caught.value.exit_code == 2
    assert "--web.listen-address" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_address_in_use_is_named_with_the_reason(serve: Serve) -> None:
    url = urlsplit(serve().url)
    with pytest.raises(ConfigError, match=rf"{url.hostname}:{url.port}: Address already in use"):
        serve(listen_address=f"{url.hostname}:{url.port}")


def test_close_frees_the_address_at_once_and_twice_does_no_harm(serve: Serve) -> None:
    first = serve()
    ask(first)
    url = urlsplit(first.url)
    first.close()
    first.close()
    assert ask(serve(listen_address=f"{url.hostname}:{url.port}"))[0] == 200


def test_close_does_not_wait_for_slow_clients(serve: Serve) -> None:
    listener = serve()
    with connect(listener) as silent:
        silent.sendall(b"GET")
        time.sleep(0.1)
        begun = time.monotonic()
        listener.close()
        assert time.monotonic() - begun < 3
