"""The API over the inventory, beside what the commands tell of the same store."""

import json
from pathlib import Path

import pytest
from program import OFFICE, ROOT, hellowatch
from serving import Serving, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inventory")
    hellowatch("analyze", "-o", "x", "--store", STORE, str(OFFICE), cwd=folder)
    return folder


STORE = "sqlite:///office.db"


@pytest.fixture(scope="module")
def page(folder) -> Serving:
    with serving(folder, None, "--store", STORE) as page:
        yield page


def listed(folder: Path, *arguments: str) -> bytes:
    return hellowatch(*arguments, "--store", STORE, cwd=folder).stdout


def test_devices_are_those_of_the_command(page, folder):
    told = page.ask("GET", "/api/v1/devices").json()
    assert told["devices"] == json.loads(listed(folder, "devices", "--format", "json"))
    assert told["coverage"]["frames"] > 0
    assert told["now"].startswith("20")


def test_devices_of_a_status_and_so_many(page):
    every = page.ask("GET", "/api/v1/devices").json()["devices"]
    wanted = [device for device in every if device["status"] in ("legacy", "refused")]
    asked = "/api/v1/devices?status=legacy&status=refused"
    assert page.ask("GET", asked).json()["devices"] == wanted
    assert page.ask("GET", f"{asked}&limit=2").json()["devices"] == wanted[:2]
    assert page.ask("GET", "/api/v1/devices?limit=0").json()["devices"] == []


def test_device_by_id_and_address_is_that_of_the_command(page, folder):
    every = page.ask("GET", "/api/v1/devices").json()["devices"]
    device = next(device for device in every if device["status"] == "refused")
    shown = json.loads(listed(folder, "devices", "show", device["ip"], "--format", "json"))
    for name in (device["id"], device["ip"]):
        told = page.ask("GET", f"/api/v1/devices/{name}").json()
        assert {key: told[key] for key in shown} == shown
        assert told["history"][-1]["status"] == "refused"


def test_handshakes_are_those_of_the_command(page, folder):
    told = page.ask("GET", "/api/v1/handshakes").json()["handshakes"]
    kept = [json.loads(line) for line in listed(folder, "handshakes").splitlines()]
    assert told == kept
    device = told[0]["source"]["ip"]
    of_one = page.ask("GET", f"/api/v1/handshakes?device={device}&outcome=alert").json()
    assert of_one["handshakes"] == [
        event
        for event in kept
        if (event["source"]["ip"], event["hellowatch"]["outcome"]) == (device, "alert")
    ]
    since = kept[-1]["@timestamp"]
    later = page.ask("GET", f"/api/v1/handshakes?since={since}").json()["handshakes"]
    assert later == [event for event in kept if event["@timestamp"] >= since]
    assert page.ask("GET", "/api/v1/handshakes?limit=1").json()["handshakes"] == kept[:1]


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/api/v1/devices?status=bad", 400, "legacy"),
        ("/api/v1/devices?limit=many", 400, "whole number"),
        ("/api/v1/devices/nosuch", 404, "names no device"),
        ("/api/v1/handshakes?outcome=bad", 400, "established"),
        ("/api/v1/handshakes?since=yesterday", 400, "2026-12-24"),
        ("/api/v1/handshakes?since=2026-12-24", 400, "zone"),
        ("/api/v1/handshakes?device=nosuch", 404, "0 devices"),
    ],
)
def test_what_cannot_be_asked_is_told(page, path, status, why):
    answer = page.ask("GET", path)
    assert answer.status == status
    assert why in answer.json()["detail"]


def test_without_a_store_there_are_no_devices_and_once_there_is_one_there_are(tmp_path):
    with serving(tmp_path, None, "--store", STORE) as page:
        told = page.ask("GET", "/api/v1/devices").json()
        assert (told["devices"], told["now"], told["coverage"]["fit"]) == ([], None, False)
        assert page.ask("GET", "/api/v1/handshakes").json() == {"handshakes": []}
        assert page.ask("GET", "/api/v1/coverage").json()["coverage"]["frames"] == 0
        assert page.ask("GET", "/api/v1/devices/10.0.0.7").status == 404
        hellowatch("analyze", "-o", "x", "--store", STORE, str(OFFICE), cwd=tmp_path)
        assert page.ask("GET", "/api/v1/devices").json()["devices"]


def test_store_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "office.db").write_bytes(b"no database" * 999)
    with serving(tmp_path, None, "--store", STORE) as page:
        answer = page.ask("GET", "/api/v1/devices")
        assert answer.status == 503
        assert "not a database" in answer.json()["detail"]


def test_openapi_tells_of_every_path_and_docs_too(page):
    document = page.ask("GET", "/api/v1/openapi.json").json()
    text = (ROOT / "docs" / "api.md").read_text()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"].endswith(".")
            word = "NAME" if method == "put" else "ID"
            shown = path.removeprefix("/api/v1").replace("{id}", word)
            assert f"`{method.upper()} {shown}`" in text
            assert operation["responses"].keys() > {"default"}
