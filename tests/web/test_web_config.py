"""The metrics page behind TLS and passwords, as the exporters' file has them."""

import base64
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from program import OFFICE, hellowatch, running
from prometheus_client import CollectorRegistry

from sniffer.config import WebSettings
from sniffer.daemon.listener import Listener
from sniffer.daemon.web_config import MOST_ANSWERS, Users, read
from sniffer.errors import ConfigError, ConfigErrors

CA = trustme.CA()
COST = 5
PASSWORD = "pass:wörd"
HASHED = bcrypt.hashpw(PASSWORD.encode(), b"$2b$05$abcdefghijklmnopqrstuu").decode()
USERS = f"basic_auth_users:\n  ann: {HASHED}\n"
TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.pem\n"
MUTUAL = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    renew(tmp_path)
    CA.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


def renew(folder: Path) -> None:
    made = CA.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    made.write_to_path(folder / "new.pem")
    (folder / "new.pem").rename(folder / "server.pem")


@contextmanager
def served(folder: Path, text: str, **settings: object) -> Iterator[Listener]:
    (folder / "web.yml").write_text(text)
    path = str(folder / "web.yml")
    web = WebSettings(listen_address="127.0.0.1:0", config_file=path, **settings)
    listener = Listener(web, CollectorRegistry(), lambda: True)
    listener.start()
    try:
        yield listener
    finally:
        listener.close()


def client(oldest: ssl.TLSVersion | None = None, newest: ssl.TLSVersion | None = None):
    context = ssl.create_default_context()
    CA.configure_trust(context)
    context.minimum_version = oldest or context.minimum_version
    context.maximum_version = newest or context.maximum_version
    return context


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def ask(listener: Listener, context=None, path: str = "/-/healthy", **headers: str):
    """Make one request; return status and headers."""
    url = urlsplit(listener.url)
    if url.scheme == "https":
        connection = http.client.HTTPSConnection(
            url.hostname, url.port, timeout=10, context=context or client()
        )
    else:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.getheaders())
    finally:
        connection.close()


def connect(listener: Listener) -> socket.socket:
    url = urlsplit(listener.url)
    return socket.create_connection((url.hostname, url.port), timeout=10)


# --------------------------------------------------------------------------------- TLS


def test_page_is_served_by_tls_and_tells_so(folder):
    with served(folder, TLS) as listener:
        assert listener.url.startswith("https://127.0.0.1:")
        assert ask(listener)[0] == 200
        with connect(listener) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            told = plain.recv(1000)
        assert told.startswith(b"HTTP/1.0 400 ")
        assert b"ask by https" in told


@pytest.mark.parametrize(
    ("setting", "newest", "spoken"),
    [
        ("", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ("  min_version: TLS13\n", ssl.TLSVersion.TLSv1_2, None),
        ("  max_version: TLS12\n", ssl.TLSVersion.TLSv1_3, "TLSv1.2"),
        ("  min_version: TLS13\n", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
    ],
)
def test_versions_are_those_of_the_file(folder, setting, newest, spoken):
    context = client(ssl.TLSVersion.TLSv1_2, newest)
    with served(folder, TLS + setting) as listener, connect(listener) as connection:
        try:
            with context.wrap_socket(connection, server_hostname="127.0.0.1") as talking:
                assert talking.version() == spoken
        except ssl.SSLError:
            assert spoken is None


def test_client_without_a_certificate_stays_outside(folder):
    known = client()
    CA.issue_cert("prometheus").configure_cert(known)
    stranger = client()
    trustme.CA().issue_cert("prometheus").configure_cert(stranger)
    with served(folder, MUTUAL) as listener:
        assert ask(listener, known)[0] == 200
        for context in (client(), stranger):
            with pytest.raises(OSError, match=r"alert|ertificate|reset|EOF|closed"):
                ask(listener, context)
    optional = MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    with served(folder, optional) as listener:
        assert ask(listener, client())[0] == 200


def test_silent_and_half_spoken_connections_block_no_scrape(folder):
    with served(folder, TLS, scrapes=2, request_seconds=600) as listener:
        held = []
        try:
            for number in range(150):
                held.append(connect(listener))
                if number % 2:
                    held[-1].sendall(b"\x16\x03\x01")
            begun = time.monotonic()
            assert ask(listener)[0] == 200
            assert time.monotonic() - begun < 3
        finally:
            for connection in held:
                connection.close()


def test_handshake_that_takes_too_long_is_broken_off(folder):
    with served(folder, TLS, request_seconds=0.5) as listener:
        with connect(listener) as slow:
            begun = time.monotonic()
            stop = threading.Event()

            def drip() -> None:
                with suppress(OSError):
                    for octet in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100):
                        slow.sendall(bytes([octet]))
                        stop.wait(0.1)

            dripping = threading.Thread(target=drip)
            dripping.start()
            with suppress(ConnectionResetError):
                assert slow.recv(100) == b""
            assert 0.3 < time.monotonic() - begun < 3
            stop.set()
            dripping.join()
        assert ask(listener)[0] == 200


@pytest.mark.parametrize("octets", [b"", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01", b"\0" * 500])
def test_what_is_no_handshake_is_let_go(folder, octets):
    with served(folder, TLS, request_seconds=1) as listener:
        with connect(listener) as connection:
            connection.sendall(octets)
            with suppress(OSError):  # it was let go already
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1000):
                    pass
        assert ask(listener)[0] == 200


# ------------------------------------------------------------------------------- users


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        (basic("ann", PASSWORD), 200),
        (basic("ann", PASSWORD).replace("Basic", "basic"), 200),
        (basic("ann", "pass"), 401),
        (basic("ann", ""), 401),
        (basic("Ann", PASSWORD), 401),
        (basic("bob", PASSWORD), 401),
        (basic("", ""), 401),
        ("Bearer abc", 401),
        ("Basic", 401),
        ("Basic !!!", 401),
        ("Basic " + base64.b64encode(b"ann").decode(), 401),
        ("Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(), 401),
    ],
)
def test_right_password_alone_opens_every_page(folder, header, status):
    headers = {} if header is None else {"Authorization": header}
    with served(folder, USERS) as listener:
        for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/none"):
            told, sent = ask(listener, path=path, **headers)
            assert (told == 401) == (status == 401)
            assert ("WWW-Authenticate" in sent) == (status == 401)


def test_answers_are_remembered_so_that_a_scrape_costs_nothing(monkeypatch):
    checked = []
    check = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda *a: checked.append(a) or check(*a))
    users = Users({"ann": HASHED})
    for _ in range(100):
        assert users.admit(basic("ann", PASSWORD))
        assert not users.admit(basic("ann", "wrong"))
        assert not users.admit(basic("bob", PASSWORD))
    assert len(checked) == 3
    # Who is not known costs as much as who is.
    assert {hashed[:7] for _, hashed in checked} == {f"$2b${COST:02d}$".encode()}


def test_what_is_remembered_is_bounded_and_confuses_nobody():
    users = Users({"ann": HASHED, "an": bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()})
    assert users.admit(basic("ann", PASSWORD))
    for number in range(2 * MOST_ANSWERS):
        assert not users.admit(basic("an", f"guess {number}"))
    assert not users.admit(basic("an", "n:" + PASSWORD))
    assert users.admit(basic("ann", PASSWORD))
    assert users.admit(basic("an", "x"))
    assert not users.admit(basic("an", "y" * 200))


def test_headers_are_those_of_the_file(folder):
    text = (
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
        "    Content-Security-Policy: default-src 'self'\n"
    )
    with served(folder, text) as listener:
        _, sent = ask(listener)
    assert sent["X-Frame-Options"] == "deny"
    assert sent["Content-Security-Policy"] == "default-src 'self'"
    assert sent["X-Content-Type-Options"] == "nosniff"


# ----------------------------------------------------------------------------- changes


def test_file_and_certificates_that_change_are_used_at_once(folder, caplog):
    with served(folder, TLS) as listener:

        def certificate() -> bytes:
            with (
                connect(listener) as connection,
                client().wrap_socket(connection, server_hostname="127.0.0.1") as talking,
            ):
                return talking.getpeercert(binary_form=True)

        first = certificate()
        assert certificate() == first
        renew(folder)
        second = certificate()
        assert second != first

        (folder / "server.pem").write_text("nonsense")
        assert certificate() == second
        assert certificate() == second
        assert [record.msg for record in caplog.records] == [
            "The web configuration stays as it was"
        ]
        assert "cert_file" in caplog.records[0].args["why"]

        renew(folder)
        (folder / "web.yml").write_text(TLS + USERS)
        assert ask(listener)[0] == 401
        assert ask(listener, Authorization=basic("ann", PASSWORD))[0] == 200


# ------------------------------------------------------------------------------- mistakes


def said(folder: Path, text: str) -> list[str]:
    (folder / "web.yml").write_text(text)
    with pytest.raises((ConfigError, ConfigErrors)) as caught:
        read(str(folder / "web.yml"))
    errors = getattr(caught.value, "errors", [caught.value])
    return [re.sub(r"^.*/web\.yml", "FILE", str(error)) for error in errors]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tls_server_config:\n  cert_file: server.pem\n", "FILE:1: tls_server_config: key_file is"),
        (
            TLS.replace("cert_file: server", "cert_file: none"),
            "FILE:2: tls_server_config.cert_file: ",
        ),
        (
            TLS.replace("key_file: server", "key_file: ca"),
            "FILE:2: tls_server_config.cert_file: cannot",
        ),
        (
            TLS + "  min_version: TLS9\n",
            "FILE:4: tls_server_config.min_version: 'TLS9' is not one of",
        ),
        (TLS + "  min_version: TLS13\n  max_version: TLS12\n", "is older than min_version"),
        (
            TLS + "  cipher_suites: [X]\n",
            "FILE:4: tls_server_config.cipher_suites: is not built here",
        ),
        (
            TLS + "  certfile: x\n",
            "FILE:4: tls_server_config.certfile: there is no such key; cert_file",
        ),
        (
            TLS + "  client_ca_file: ca.pem\n",
            "client_auth_type: asks for certificates only together",
        ),
        (
            TLS + "  client_auth_type: RequireAndVerifyClientCert\n",
            "only together with client_ca_file",
        ),
        (
            TLS + "  client_auth_type: RequestClientCert\n",
            "'RequestClientCert' is not one of NoClientC",
        ),
        (
            MUTUAL.replace("ca.pem", "web.yml"),
            "FILE:5: tls_server_config.client_ca_file: cannot be used",
        ),
        ("tls_server: {}\n", "FILE:1: tls_server: there is no such key; tls_server_config, http_"),
        ("rate_limit: {}\n", "FILE:1: rate_limit: is not built here"),
        ("http_server_config: {http2: true}\n", "FILE:1: http_server_config.http2: "),
        (
            "http_server_config: {headers: {Server: x}}",
            "http_server_config.headers.Server: there is no",
        ),
        ('http_server_config: {headers: {X-Frame-Options: "a\\nb"}}', "is not one line of text"),
        ("basic_auth_users:\n  ann: secret\n", "FILE:2: basic_auth_users.ann: is no bcrypt hash"),
        ("basic_auth_users: [ann]\n", "FILE:1: basic_auth_users: holds no names"),
        ("basic_auth_users:\n  'a:b': " + HASHED, "basic_auth_users.a:b: is no user's name"),
        ("[1, 2]\n", "FILE: holds no keys; tls_server_config"),
        ("a: [\n", "FILE:2: no YAML: "),
        ("a: b: c\n", "FILE:1: no YAML: "),
        ("\x01", "FILE: no YAML: "),
        ("a: !!python/object:os.system x\n", "FILE:1: no YAML: "),
    ],
)
def test_mistake_is_told_with_file_line_and_key(folder, text, told):
    (line,) = said(folder, text)
    assert told in line
    assert "secret" not in line
    assert HASHED not in line


def test_all_mistakes_are_told_at_once(folder):
    assert len(said(folder, "tls_server_config: {x: 1}\nbasic_auth_users: {a: b}\nzz: 1\n")) == 5


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "tls_server_config: {}\nbasic_auth_users: {}\n"]
)
def test_empty_file_is_neither_tls_nor_users(folder, text):
    with served(folder, text) as listener:
        assert listener.url.startswith("http://")
        assert ask(listener)[0] == 200


# --------------------------------------------------------------------------- the program


def test_program_ends_with_two_and_names_file_and_key(folder):
    (folder / "bad.yml").write_text(TLS + "  max_version: TLS14\n")
    options = ("--replay", OFFICE, "--web.config.file", "bad.yml")
    ran = hellowatch("run", *options, cwd=folder)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr.startswith(
        b"hellowatch: bad.yml:4: tls_server_config.max_version: 'TLS14' is"
    )
    (folder / "a.toml").write_text('[web]\nconfig_file = "bad.yml"\n')
    checked = hellowatch("config", "check", "a.toml", cwd=folder)
    assert (checked.returncode, checked.stderr) == (2, ran.stderr)


def test_encrypted_key_is_refused_without_a_question(folder):
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    (folder / "key.pem").write_bytes(key)
    (line,) = said(folder, TLS.replace("key_file: server.pem", "key_file: key.pem"))
    assert "tls_server_config.cert_file: cannot be used" in line


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_the_metrics_by_tls_with_a_password(folder):
    (folder / "web.yml").write_text(TLS + USERS)
    options = ("--web.config.file", "web.yml", "--replay", OFFICE)
    with running(*options, cwd=folder) as program:
        curl = ["curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", "ca.pem"]
        address = program.address + "/metrics"
        ran = subprocess.run(
            [*curl, "--user", f"ann:{PASSWORD}", address], cwd=folder, capture_output=True
        )
        assert ran.returncode == 0, ran.stderr
        assert b"hellowatch_build_info" in ran.stdout
        for more in (["--user", "ann:x"], []):
            ran = subprocess.run([*curl, "--fail", *more, address], cwd=folder, capture_output=True)
            assert (ran.returncode, ran.stdout) == (22, b"")
        ran = subprocess.run(
            [*curl[:-2], "--user", f"ann:{PASSWORD}", address], cwd=folder, capture_output=True
        )
        assert ran.returncode == 60
