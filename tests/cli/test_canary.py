"""Row P3: what passes in clear before an upgrade, or instead of one, leaves the parser nowhere."""

import base64
import json
from pathlib import Path

import craft
import pytest
from craft import Conversation
from program import hellowatch, running

from sniffer.cli.options import FORMATS

USER = "canary-user-77"
PASSWORD = "canary-pass-77"
MAIL = "canary-mail-77"
TOKEN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
SECRETS = [
    USER,
    PASSWORD,
    MAIL,
    TOKEN,
    base64.b64encode(USER.encode()).decode(),
    base64.b64encode(PASSWORD.encode()).decode(),
]
OLD = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")


def talk(port: int, number: int, *lines: str) -> Conversation:
    """Return a dialogue of lines, the server's first and then in turn."""
    made = Conversation(client=f"10.0.0.{number}", server_port=port).open()
    for place, line in enumerate(lines):
        say = made.client if place % 2 else made.server
        say(line.encode() + b"\r\n")
    return made


def capture() -> list[craft.Frame]:
    b64 = [base64.b64encode(text.encode()).decode() for text in (USER, PASSWORD)]
    ehlo = ("220 mx.example.net ESMTP", "EHLO HP3C2AF4", "250-mx\r\n250 AUTH PLAIN LOGIN")
    sent = (f"MAIL FROM:<{USER}@x>", "250", "DATA", "354", f"Subject: {MAIL}\r\n\r\n{MAIL}\r\n.")
    talks = [
        talk(587, 1, *ehlo, f"AUTH PLAIN {TOKEN}", "235 ok", *sent),
        talk(25, 2, *ehlo, "AUTH LOGIN", "334", b64[0], "334", b64[1], "235", *sent),
        talk(143, 3, "* OK hi", f'a LOGIN {USER} "{PASSWORD}"', "a OK", "b SELECT INBOX"),
        talk(143, 4, "* OK hi", "a LOGIN {14}", "+", f"{USER} {{14}}", "+", f"{PASSWORD}"),
        talk(110, 5, "+OK", f"USER {USER}", "+OK", f"PASS {PASSWORD}", f"+OK {MAIL}", "STAT"),
        talk(110, 6, "+OK", f"PASS {PASSWORD}", f"-ERR {USER}", f"{PASSWORD} {USER}"),
        talk(993, 7, "* OK hi", f"a LOGIN {USER} {PASSWORD}", "a OK", "b LIST"),
    ]
    upgraded = talk(587, 8, *ehlo, f"AUTH PLAIN {TOKEN}", "538 no", "STARTTLS", "220 go")
    talks.append(upgraded.client(OLD).server(craft.alert(2, 70)))
    refused = talk(587, 9, *ehlo, "STARTTLS", "454 no", f"AUTH PLAIN {TOKEN}", "235", *sent)
    return craft.merged(*(one.fin("client").fin("server").frames() for one in [*talks, refused]))


def assert_clean(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "clear.pcap"
    made.write_bytes(craft.pcap(capture()))
    assert all(secret.encode() in made.read_bytes() for secret in SECRETS)
    return made


@pytest.mark.parametrize("form", FORMATS)
def test_no_output_or_log_line_holds_a_secret(form: str, path: Path) -> None:
    out = path.with_suffix(".out")
    ran = hellowatch("analyze", path, "--format", form, "-o", f"json:{out}", "-v", cwd=path.parent)
    for text in (ran.stdout, ran.stderr, out.read_bytes()):
        assert_clean(text.decode())


def test_the_findings_are_there_all_the_same(path: Path) -> None:
    ran = hellowatch("analyze", path, "--format", "json", cwd=path.parent)
    said = json.loads(ran.stdout)
    found = {(one["device"], one["kind"]) for one in said["findings"]}
    logins = {f"10.0.0.{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9)}
    assert {device for device, kind in found if kind == "clear-login"} == logins
    assert ("10.0.0.9", "upgrade-refused") in found
    assert ("10.0.0.9", "clear-after-failed-tls") in found
    assert ("10.0.0.1", "upgrade-missing") in found
    assert [device["ip"] for device in said["devices"]] == ["10.0.0.8"]
    assert said["devices"][0]["names"] == ["HP3C2AF4"]


def test_no_metric_holds_a_secret(path: Path) -> None:
    with running("--replay", path, "-v", cwd=path.parent) as run:
        run.wait_until_replayed()
        status, page = run.get("/metrics")
        assert status == 200
        _, out, err = run.end()
    assert 'hellowatch_findings_total{kind="clear-login",protocol="pop3"} 2.0' in page
    for text in (page, out.decode(), err):
        assert_clean(text)


def test_no_frame_written_and_no_store_holds_a_secret(path: Path) -> None:
    kept = path.parent / "kept"
    kept.mkdir()
    store = f"sqlite:///{kept}/office.db"
    ran = hellowatch("analyze", path, "-w", kept / "w.pcapng", "--store", store, cwd=path.parent)
    assert ran.returncode == 0, ran.stderr
    again = hellowatch("analyze", kept / "w.pcapng", "--format", "json", cwd=path.parent)
    assert json.loads(again.stdout)["totals"]["hellos"] == 1
    evidence = "devices", "evidence", "10.0.0.8", "--store", store, "-w", kept / "e.pcapng"
    assert hellowatch(*evidence, cwd=path.parent).returncode == 0
    shown = "devices", "show", "10.0.0.8", "--store", store, "--hex"
    (kept / "shown.txt").write_bytes(hellowatch(*shown, cwd=path.parent).stdout)
    written = {file.name: file.read_bytes() for file in kept.iterdir()}
    assert {"w.pcapng", "e.pcapng", "shown.txt", "office.db"} <= set(written)
    for octets in written.values():
        assert [secret for secret in SECRETS if secret.encode() in octets] == []


@pytest.mark.parametrize("command", [["doctor"], ["doctor", "--format", "json"], ["crosscheck"]])
def test_no_second_look_tells_a_secret(command: list[str], path: Path) -> None:
    ran = hellowatch(*command, path, cwd=path.parent)
    assert ran.stdout
    for text in (ran.stdout, ran.stderr):
        assert_clean(text.decode())
