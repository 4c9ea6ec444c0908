"""Names heard on a mirror port: what a daemon tells is what the file beside it tells."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import craft
import pytest
from captures import frames_in
from craft import Conversation, client_hello, merged
from daemon import daemon
from discovering import (
    a,
    cname,
    dhcp,
    dhcp_frame,
    dns_answer,
    lldp,
    lldp_frame,
    mdns,
    option,
    tlv,
)
from namespaces import Namespace, eventually, namespace
from program import hellowatch

PCAPS = Path(__file__).resolve().parent.parent.parent / "pcaps"
PRINTER, NAS, SERVER = "10.0.0.50", "10.0.0.51", "203.0.113.7"
NAS_MAC = "00:11:32:00:00:51"


def refused(client: str, client_mac: str) -> Conversation:
    """A client without a server name is refused by a server of no known address."""
    talk = Conversation(client, SERVER, client_mac=client_mac).open()
    return talk.client(client_hello(sni=None)).server(craft.alert()).rst("server")


def heard() -> list[bytes]:
    """Frames in which devices say who they are, some of them tagged, and what DNS answers."""
    chain = (
        cname("outlook.office365.com", "ooc.office.com"),
        a("ooc.office.com", SERVER),
    )
    asked = dhcp(3, option(12, b"HP3C2AF4"), option(60, b"<b>=cmd\x1b[2J"))
    given = dhcp(5, option(51, b"\0\0\x0e\x10"), is_reply=True, given=PRINTER)
    return [
        dhcp_frame(asked),
        dhcp_frame(given, "10.0.0.1"),
        mdns(a("nas-2.local", NAS), source=NAS, source_mac=NAS_MAC),
        lldp_frame(lldp(tlv(5, b"copier\0\x1b"), end=b"\0\0"), vlans=(7,)),
        dns_answer("outlook.office365.com", *chain, client=PRINTER),
    ]


def unheard() -> list[bytes]:
    """Frames that the filter holds back."""
    ask = craft.udp(PRINTER, "10.0.0.1", 50_053, 53, bytes(12))
    return [craft.ethernet(craft.ipv4(PRINTER, "10.0.0.1", ask, protocol=craft.UDP))]


TALKS = [refused(PRINTER, craft.CLIENT_MAC), refused(NAS, NAS_MAC)]
MAIL = [octets for talk in TALKS for _, octets in talk.frames()]
PASSING = sum(len(talk.frames()) - 1 for talk in TALKS)
"""All but one bare acknowledgement of each."""


@pytest.fixture
def ns() -> Iterator[Namespace]:
    with namespace() as made:
        made.veth("far", "mirror")
        yield made


def told(summary: dict[str, Any]) -> dict[str, Any]:
    return {
        device["ip"]: [(one["source"], one["name"]) for one in device["names_from"]]
        for device in summary["devices"]
    }


def basis(events: list[dict[str, Any]]) -> set[tuple[str | None, str | None, str]]:
    return {
        (
            e["hellowatch"].get("profile"),
            e["hellowatch"].get("destination_basis"),
            e["source"]["ip"],
        )
        for e in events
    }


def test_names_and_destinations_live_are_those_of_the_file_and_the_store(ns, tmp_path):
    frames = [*heard(), *unheard(), *MAIL]
    store = f"sqlite:///{tmp_path / 'live.db'}"
    arguments = [
        "-i",
        "mirror",
        "--store",
        store,
        "-o",
        "json:live.json",
        "-o",
        "ndjson:live.ndjson",
    ]
    with daemon(ns, *arguments, cwd=tmp_path) as run, ns.sender("far") as sender:
        for octets in frames:
            sender.send(octets)
        seen = len(heard()) + PASSING
        eventually(lambda: run.metric("hellowatch_frames_received_total") >= seen)
        eventually(lambda: run.metric("hellowatch_handshakes_total") == 2)
        assert run.metric("hellowatch_frames_received_total") == seen
        assert run.metric("hellowatch_frames_dropped_total") == 0
        assert run.metric("hellowatch_sightings_passed_over_total") == 0
        assert run.end() == 0
    live = json.loads((tmp_path / "live.json").read_text())
    events = [json.loads(line) for line in (tmp_path / "live.ndjson").read_text().splitlines()]

    assert told(live) == {
        PRINTER: [("dhcp", "HP3C2AF4"), ("lldp", "copier\\x00\\x1b")],
        NAS: [("mdns", "nas-2")],
    }
    # The resolver told the printer alone; whoever else asks there is told the same.
    assert basis(events) == {("exchange-online", "dns", PRINTER), ("exchange-online", "dns", NAS)}

    timed = [(craft.START_NS + n * craft.MILLISECOND_NS, o) for n, o in enumerate(frames)]
    (tmp_path / "beside.pcap").write_bytes(craft.pcap(timed))
    file = json.loads(hellowatch("analyze", "--format", "json", "beside.pcap", cwd=tmp_path).stdout)
    assert told(file) == told(live)
    lines = hellowatch("analyze", "--format", "ndjson", "beside.pcap", cwd=tmp_path).stdout
    assert basis(list(map(json.loads, lines.splitlines()))) == basis(events)

    listed = hellowatch("devices", "list", "--format", "json", "--store", store, cwd=tmp_path)
    assert told({"devices": json.loads(listed.stdout)}) == told(live)


def test_nothing_is_heard_where_it_is_switched_off(ns, tmp_path):
    (tmp_path / "deaf.toml").write_text("[identify]\npassive = false\ndns = false\n")
    arguments = ["-i", "mirror", "--config", "deaf.toml", "-o", "json:deaf.json"]
    with daemon(ns, *arguments, cwd=tmp_path) as run, ns.sender("far") as sender:
        for octets in (*heard(), *MAIL):
            sender.send(octets)
        eventually(lambda: run.metric("hellowatch_handshakes_total") == 2)
        assert run.metric("hellowatch_frames_received_total") == PASSING
        assert run.end() == 0
    deaf = json.loads((tmp_path / "deaf.json").read_text())
    assert told(deaf) == {PRINTER: [], NAS: []}
    assert deaf["profile"] == {}


def test_what_real_programs_say_is_heard_on_a_port(ns, tmp_path):
    captures = sorted(PCAPS.glob("discovery-*.pcap"))
    frames = [octets for path in captures for _, octets in frames_in(path)]
    who = next(ip for ip in addresses(frames) if ip.startswith("10.40.0.1"))
    mail = merged(refused(who, craft.CLIENT_MAC).frames())
    with daemon(ns, "-i", "mirror", "-o", "json:live.json", cwd=tmp_path) as run:
        with ns.sender("far") as sender:
            for octets in (*frames, *(octets for _, octets in mail)):
                sender.send(octets)
        eventually(lambda: run.metric("hellowatch_handshakes_total") == 1)
        assert run.end() == 0
    live = json.loads((tmp_path / "live.json").read_text())
    assert told(live)[who] == [
        ("netbios", "COPIER-HALL"),
        ("dhcp", "HP3C2AF4"),
        ("lldp", "copier-hall"),
        ("mdns", "hp-3c2af4"),
    ]


def addresses(frames: list[bytes]) -> Iterator[str]:
    """Yield the addresses that servers of DHCP give."""
    for octets in frames:
        if octets[12:14] == b"\x08\0" and octets[34:36] == b"\0\x43":
            yield ".".join(map(str, octets[58:62]))
