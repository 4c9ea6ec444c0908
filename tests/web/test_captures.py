"""Captures uploaded to the page: all ways in, what is answered, and what becomes of them."""

import bz2
import json
import lzma
import os
import re
import socket
import time

import craft
import pytest
from packing import File, archive, gz, zst
from program import OFFICE, hellowatch
from serving import CAPTURES, Serving, serving

OCTETS = OFFICE.read_bytes()
MIB = 1 << 20
MOST = 16 * MIB


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Serving:
    folder = tmp_path_factory.mktemp("page")
    with serving(folder, {"upload_bytes": MOST, "analysis_seconds": 20}) as page:
        yield page


def form(*parts: tuple[str, str | None, bytes], end: bytes = b"--\r\n") -> tuple[bytes, dict]:
    body = b""
    for name, filename, octets in parts:
        head = f'form-data; name="{name}"'
        head += "" if filename is None else f'; filename="{filename}"'
        body += b"--limit\r\nContent-Disposition: " + head.encode() + b"\r\n\r\n"
        body += octets + b"\r\n"
    return body + b"--limit" + end, {"Content-Type": "multipart/form-data; boundary=limit"}


def test_answer_is_what_analyze_tells(page, tmp_path):
    state = page.over(page.put("office.pcapng", OCTETS))
    (tmp_path / "office.pcapng").write_bytes(OCTETS)
    summary = hellowatch("analyze", "--format", "json", "office.pcapng", cwd=tmp_path)
    events = hellowatch("analyze", "--format", "ndjson", "office.pcapng", cwd=tmp_path)
    assert state["state"] == "done"
    assert state["problem"] is None
    assert state["progress"] == 1
    assert state["summary"] == json.loads(summary.stdout)
    assert state["devices"] == len(state["summary"]["devices"])
    assert page.ask("GET", f"{state['url']}/summary").octets == summary.stdout
    found = page.ask("GET", f"{state['url']}/events")
    assert found.octets == events.stdout
    assert found.headers["content-type"].startswith("application/x-ndjson")


def test_form_with_a_file_is_taken(page):
    body, headers = form(("site", None, b"Lyon"), ("file", "a b.pcapng", OCTETS))
    answer = page.ask("POST", CAPTURES, body, headers)
    assert answer.status == 202
    assert answer.json().keys() == {"id", "url"}
    state = page.over(answer.json()["url"])
    assert (state["state"], state["name"], state["site"]) == ("done", "a b.pcapng", "Lyon")
    assert state["received"] == len(OCTETS)


def test_form_with_several_files_is_several_captures(page):
    body, headers = form(("file", "1.pcapng", OCTETS), ("file", "2.pcapng", OCTETS))
    answer = page.ask("POST", CAPTURES, body, headers).json()
    states = [page.over(one["url"]) for one in answer["captures"]]
    assert [state["name"] for state in states] == ["1.pcapng", "2.pcapng"]
    assert {state["state"] for state in states} == {"done"}
    assert answer["url"] == states[0]["url"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (form(("site", None, b"Lyon")), 400),
        (form(("file", "x", OCTETS), end=b"\r\n"), 400),
        ((b"no form at all", {"Content-Type": "multipart/form-data; boundary=limit"}), 400),
        ((OCTETS, {"Content-Type": "multipart/form-data"}), 400),
        ((OCTETS, {"Content-Type": "application/octet-stream"}), 415),
        (form(("site", None, bytes(5000)), ("file", "x", OCTETS)), 413),
        (form(*[("a", None, b"")] * 65), 413),
        ((b"{", {"Content-Type": "application/json"}), 400),
        ((b'{"name":"x","size":-1}', {"Content-Type": "application/json"}), 400),
        ((b'{"name":"x","size":1,"x":1}', {"Content-Type": "application/json"}), 400),
        ((b'{"name":"x","size":99999999}', {"Content-Type": "application/json"}), 413),
    ],
)
def test_what_is_no_upload_is_refused_with_a_reason_and_leaves_nothing(page, body, status):
    before = sorted(os.listdir(page.folder))
    answer = page.ask("POST", CAPTURES, *body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["detail"]
    assert sorted(os.listdir(page.folder)) == before


def test_upload_goes_on_after_a_broken_connection(page):
    asked = json.dumps({"name": "office.pcapng", "size": len(OCTETS), "site": "Lyon"})
    answer = page.ask("POST", CAPTURES, asked, {"Content-Type": "application/json"})
    assert answer.status == 201
    url = answer.json()["url"]
    half = len(OCTETS) // 2
    # The connection breaks within a piece: what came is kept.
    with socket.create_connection((page.host, page.port)) as connection:
        head = f"PATCH {url} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\n"
        head += f"Content-Length: {len(OCTETS)}\r\n\r\n"
        connection.sendall(head.encode() + OCTETS[:half])
        until = time.monotonic() + 10
        # Octets are gathered; they are there once the connection is known to be gone.
    while page.ask("GET", url).json()["received"] != half:
        assert time.monotonic() < until
        time.sleep(0.02)
    wrong = page.ask("PATCH", url, OCTETS[:10], {"Upload-Offset": "0"})
    assert wrong.status == 409
    assert wrong.headers["upload-offset"] == str(half)
    assert wrong.json()["received"] == half
    ahead = page.ask("PATCH", url, OCTETS[half:] + b"x", {"Upload-Offset": str(half)})
    assert ahead.status == 413
    came = page.ask("GET", url).json()["received"]
    last = page.ask("PATCH", url, OCTETS[came:], {"Upload-Offset": str(came)})
    assert last.status == 202
    assert page.over(url)["state"] == "done"
    again = page.ask("PATCH", url, b"x", {"Upload-Offset": str(len(OCTETS))})
    assert again.status == 409


PACKED = {
    "gz": gz(OCTETS),
    "bz2": bz2.compress(OCTETS),
    "xz": lzma.compress(OCTETS),
    "zst": zst(OCTETS),
    "zip": archive(File("a.pcapng", OCTETS), File("b.pcapng.zst", zst(OCTETS), method=0)),
    "zip-xz": archive(File("a.pcapng", OCTETS, method=95)),
    "zip-zst": archive(File("a.pcapng", OCTETS, method=93)),
}


@pytest.mark.parametrize("packing", PACKED)
def test_packed_captures_are_told_by_content(page, packing):
    plain = page.over(page.put("office.pcapng", OCTETS))["summary"]["totals"]
    state = page.over(page.put("photo.jpg", PACKED[packing]))
    assert state["state"] == "done"
    times = 2 if packing == "zip" else 1
    assert state["summary"]["totals"]["hellos"] == times * plain["hellos"]


@pytest.mark.parametrize(
    ("octets", "state", "why"),
    [
        (OCTETS[:-7], "partial", r"cut short.* at offset \d+"),
        (gz(OCTETS)[:-4000], "partial", "gzip data end too early"),
        (b"", "failed", "is empty"),
        (b"MZ nothing of the kind" * 50, "failed", "neither a pcap nor a pcapng"),
        (archive(File("a.pcapng", OCTETS), File("notes.txt", b"hello " * 99)), "partial", "notes"),
    ],
)
def test_damaged_captures_say_why_and_what_was_still_read(page, octets, state, why):
    told = page.over(page.put("odd.pcap", octets))
    assert told["state"] == state
    assert re.search(why, told["problem"]), told["problem"]
    if state == "partial":
        assert told["summary"]["totals"]["hellos"] == told["hellos"] > 0
    else:
        answer = page.ask("GET", f"{told['url']}/events")
        assert answer.status == 409
        assert told["problem"] in answer.json()["detail"]
        assert "summary" not in told


def test_bomb_ends_early_and_harms_nobody(page):
    talk = craft.Conversation().open().client(craft.client_hello()).server(craft.alert()).frames()
    noise = craft.pcap([(talk[-1][0], craft.ethernet(bytes(MIB // 8), kind=0x88B5))])[24:]
    bomb = gz(craft.pcap(talk)) + gz(noise * 512) * 160  # 10 GiB in some 10 MB
    assert len(bomb) < MOST
    url = page.put("bomb.pcap.gz", bomb)
    slowest = 0.0
    while (state := page.ask("GET", url).json())["state"] in ("queued", "running"):
        begun = time.monotonic()
        assert page.ask("GET", "/-/healthy").status == 200
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.02)
    assert (state["state"], state["hellos"]) == ("partial", 1)
    assert "unpacks to more than 250 times its size" in state["problem"]
    assert slowest < 1


def test_too_large_upload_is_refused_before_its_body(page):
    with socket.create_connection((page.host, page.port)) as connection:
        head = f"PUT {CAPTURES}/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        connection.sendall(f"{head}Content-Length: {MOST + 1}\r\n\r\n".encode())
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_too_large_upload_of_unknown_length_is_refused_and_leaves_nothing(page):
    before = sorted(os.listdir(page.folder))
    answer = page.ask("PUT", f"{CAPTURES}/x", (bytes(MIB) for _ in range(17)))
    assert answer.status == 413
    assert str(MOST) in answer.json()["detail"]
    assert sorted(os.listdir(page.folder)) == before


NAMES = [
    "../../../etc/passwd",
    "..\\..\\boot.ini",
    "%2e%2e%2fetc%2fpasswd",
    "a\0b",
    "/etc/passwd",
    "x" * 9000,
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\x1b[31mred",
    "\u202egpj.pcap",
]


@pytest.mark.parametrize("name", NAMES)
def test_name_is_a_label_and_never_a_path(page, name):
    before = set(os.listdir(page.folder))
    state = page.over(page.put(name, OCTETS))
    (made,) = set(os.listdir(page.folder)) - before
    assert made == state["id"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", made)
    assert set(os.listdir(page.folder / made)) == {
        "capture.json",
        "events.ndjson",
        "summary.json",
        "upload",
    }
    assert state["name"].isprintable()
    assert 0 < len(state["name"]) <= 255
    assert state["summary"]["inputs"][0]["path"] == state["name"]


@pytest.mark.parametrize("name", ["..", ".", "%2e%2e", "nosuch", "%00", "a" * 5000])
def test_no_other_path_leads_to_a_file(page, name):
    for ending in ("", "/events", "/summary", "/progress"):
        assert page.ask("GET", f"{CAPTURES}/{name}{ending}").status == 404
    assert page.ask("DELETE", f"{CAPTURES}/{name}").status == 404


def test_symbolic_link_in_the_folder_is_no_capture(tmp_path):
    (tmp_path / "captures").mkdir()
    (tmp_path / "captures" / "passwd").symlink_to("/etc/passwd")
    with serving(tmp_path) as page:
        assert page.ask("GET", CAPTURES).json() == {"captures": []}
        assert page.ask("GET", f"{CAPTURES}/passwd").status == 404


def test_progress_is_followed_to_the_end(page):
    url = page.put("office.pcapng", OCTETS)
    lines = page.ask("GET", f"{url}/progress").octets.decode().splitlines()
    states = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert states[-1]["state"] == "done"
    assert [state["progress"] for state in states] == sorted(s["progress"] for s in states)


def test_deleted_capture_is_gone(page):
    state = page.over(page.put("office.pcapng", OCTETS))
    assert page.ask("DELETE", state["url"]).status == 204
    assert page.ask("GET", state["url"]).status == 404
    assert not (page.folder / state["id"]).exists()


def test_captures_go_when_their_time_is_over_unless_kept(tmp_path):
    with serving(tmp_path) as page:
        going, kept = (page.over(page.put("office.pcapng", OCTETS)) for _ in range(2))
        answer = page.ask("POST", f"{kept['url']}/keep").json()
        assert (going["expires"] is None, answer["expires"]) == (False, None)
    # A start looks for what is over; the clock on the wall is the file's own time.
    for one in (going, kept):
        path = page.folder / one["id"] / "capture.json"
        told = json.loads(path.read_text())
        told["created_seconds"] -= 25 * 3600
        path.write_text(json.dumps(told))
    with serving(tmp_path) as page:
        until = time.monotonic() + 10
        while page.ask("GET", going["url"]).status != 404:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert page.ask("GET", kept["url"]).json()["summary"]["totals"]["hellos"] > 0


def test_what_was_under_way_goes_on_after_a_kill(tmp_path):
    with serving(tmp_path) as page:
        url = page.put("office.pcapng", OCTETS)
        page.process.kill()
        page.process.wait()
    with serving(tmp_path) as page:
        assert page.over(url)["state"] == "done"


def test_queue_is_bounded(tmp_path):
    with serving(tmp_path, {"uploads": 2}) as page:
        bulk = OCTETS * 20
        connections = []
        for _ in range(2):
            connection = socket.create_connection((page.host, page.port))
            head = f"PUT {CAPTURES}/x HTTP/1.1\r\nHost: localhost\r\n"
            connection.sendall(f"{head}Content-Length: {len(bulk)}\r\n\r\n".encode() + OCTETS)
            connections.append(connection)
        while len(page.ask("GET", CAPTURES).json()["captures"]) < 2:
            time.sleep(0.02)
        answer = page.ask("PUT", f"{CAPTURES}/x", OCTETS)
        assert (answer.status, "retry-after" in answer.headers) == (503, True)
        for connection in connections:
            connection.close()


def test_memory_stays_flat_however_much_is_uploaded(tmp_path):
    with serving(tmp_path, {"upload_bytes": 1 << 30}) as page:
        page.over(page.put("office.pcapng", OCTETS))
        before = most = page.resident_kib()

        def pieces():
            nonlocal most
            for number in range(300):
                if number % 20 == 0:
                    most = max(most, page.resident_kib())
                yield bytes(MIB)

        answer = page.ask("PUT", f"{CAPTURES}/zeros", pieces())
        state = page.over(answer.json()["url"])
        assert (state["state"], state["received"]) == ("failed", 300 * MIB)
        assert max(most, page.resident_kib()) - before < 64 * 1024
