"""Who may ask the page, how long a request may take, and what every answer says to browsers."""

import json
import select
import socket
import time
from contextlib import suppress

import pytest
from program import OFFICE, hellowatch
from serving import CAPTURES, Serving, serving

PATIENCE_SECONDS = 1.5
OCTETS = OFFICE.read_bytes()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Serving:
    folder = tmp_path_factory.mktemp("page")
    settings = {"request_seconds": PATIENCE_SECONDS, "hosts": ["Watch.example.org"]}
    with serving(folder, settings) as page:
        yield page


FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": ""},
    {"Host": "[::1"},
    {"Host": "user@evil.example:80"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_request_of_another_site_is_refused(page, headers):
    for method, path in (("GET", CAPTURES), ("PUT", f"{CAPTURES}/x"), ("GET", "/-/healthy")):
        answer = page.ask(method, path, b"" if method == "PUT" else None, headers)
        assert answer.status == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert "evil" not in answer.json()["detail"]
    assert page.ask("GET", CAPTURES).json() == {"captures": []}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost"},
        {"Host": "LOCALHOST:8080"},
        {"Host": "[::1]:10994"},
        {"Host": "watch.EXAMPLE.org"},
        {"Host": "localhost:10994", "Origin": "http://localhost:10994"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
    ids=str,
)
def test_request_of_ours_is_served(page, headers):
    assert page.ask("GET", "/-/healthy", headers=headers).status == 200


@pytest.mark.parametrize("path", ["/-/healthy", CAPTURES, "/nosuch", f"{CAPTURES}/nosuch"])
def test_every_answer_tells_browsers_to_load_nothing_foreign(page, path):
    headers = page.ask("GET", path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[kind] for kind in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nosuch", 404),
        ("DELETE", "/-/healthy", 405),
        ("POST", f"{CAPTURES}/x", 405),
        ("PATCH", f"{CAPTURES}/nosuch", 404),
    ],
)
def test_errors_are_told_to_programs(page, method, path, status):
    answer = page.ask(method, path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["instance"]) == (status, path)


def connected(page, octets: bytes) -> socket.socket:
    connection = socket.create_connection((page.host, page.port))
    connection.sendall(octets)
    return connection


HEAD = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n"
BODY = f"PUT {CAPTURES}/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n".encode()


def ended(connections: list[socket.socket], seconds: float) -> bool:
    """Tell whether the other side closes all of them in time."""
    until = time.monotonic() + seconds
    left = dict.fromkeys(connections)
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN)
    known = {connection.fileno(): connection for connection in connections}
    while left and time.monotonic() < until:
        for descriptor, _ in poll.poll(100):
            try:
                octets = known[descriptor].recv(65536)
            except ConnectionResetError:
                octets = b""
            if not octets:
                poll.unregister(descriptor)
                del left[known[descriptor]]
    return not left


def test_thousand_slow_connections_hinder_nobody_and_are_closed(page):
    slow = [connected(page, (b"", HEAD, HEAD[:9])[n % 3]) for n in range(990)]
    slow += [connected(page, BODY + b"x") for _ in range(10)]
    try:
        begun = time.monotonic()
        assert page.ask("GET", "/-/healthy").status == 200
        assert time.monotonic() - begun < 1
        assert ended(slow, PATIENCE_SECONDS + 5)
        assert page.ask("GET", CAPTURES).json() == {"captures": []}
    finally:
        for connection in slow:
            connection.close()


def lasted(connection: socket.socket) -> float:
    """Send an octet now and then; return for how many seconds that goes well."""
    begun = time.monotonic()
    with suppress(BrokenPipeError, ConnectionResetError):
        while time.monotonic() - begun < 2 * PATIENCE_SECONDS + 5:
            connection.sendall(b"x")
            time.sleep(0.05)
    return time.monotonic() - begun


def test_head_that_comes_octet_by_octet_has_no_more_time(page):
    with connected(page, HEAD) as connection:
        assert PATIENCE_SECONDS / 2 < lasted(connection) < PATIENCE_SECONDS + 5


def test_body_that_comes_octet_by_octet_has_no_more_time(page):
    with connected(page, BODY) as connection:
        assert PATIENCE_SECONDS / 2 < lasted(connection) < PATIENCE_SECONDS + 5
    assert page.ask("GET", CAPTURES).json() == {"captures": []}


def test_slow_but_steady_body_is_taken(page):
    def pieces():
        for at in range(0, len(OCTETS), 10_000):
            time.sleep(PATIENCE_SECONDS / 10)
            yield OCTETS[at : at + 10_000]

    answer = page.ask("PUT", f"{CAPTURES}/slow.pcapng", pieces())
    state = page.over(answer.json()["url"])
    assert state["state"] == "done"
    page.ask("DELETE", state["url"])


def test_page_ends_quietly_while_somebody_follows(tmp_path):
    with serving(tmp_path) as page:
        asked = json.dumps({"name": "x", "size": 10})
        url = page.ask("POST", CAPTURES, asked, {"Content-Type": "application/json"}).json()["url"]
        with connected(page, f"GET {url}/progress HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()):
            begun = time.monotonic()
            code, said = page.end()
            assert (code, time.monotonic() - begun < 3) == (0, True)
            assert len(said.splitlines()) == 0


def test_address_in_use_and_wrong_ones_are_one_line_each(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = hellowatch("serve", "--web.listen-address", address, cwd=tmp_path)
        assert (ran.returncode, ran.stderr.count(b"\n")) == (2, 1)
        assert address.encode() in ran.stderr
    for address in ("nonsense", "0.0.0.0:10994", ":10994", "[::]:10994", "192.0.2.1:10994"):
        ran = hellowatch("serve", "--web.listen-address", address, cwd=tmp_path)
        assert (ran.returncode, ran.stderr.count(b"\n")) == (2, 1)
