"""What devices say of themselves: whose it is, how much is kept, and that order is no matter."""

import pytest
from handshakes import PRINTER, SECOND_NS, START_NS, dialogue, handshake, judgement
from hypothesis import given
from hypothesis import strategies as st

from sniffer.config import DEFAULT_PORTS, InventorySettings
from sniffer.event import ClearJudgement, Sighting, SightingSource
from sniffer.export.summary import summary
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.sayings import Saying, Sayings

MAC = b"\x3c\x2a\xf4\0\0\x50"
DHCP, MDNS, LLDP = SightingSource.DHCP, SightingSource.MDNS, SightingSource.LLDP
PRINTER6 = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x07"

VIRTUAL_ROUTERS = {
    "VRRP": "00005e000107",
    "VRRP for IPv6": "00005e000207",
    "HSRP": "00000c07ac07",
    "HSRP version 2, group 4095": "00000c9fffff",
    "HSRP for IPv6": "000573a00fff",
    "GLBP": "0007b403ff04",
}


def aggregate(names: int = 64) -> Aggregate:
    return Aggregate(InventorySettings(names=names), DEFAULT_PORTS, {})


def told(seen: Aggregate) -> dict[str, dict[str, object]]:
    devices = summary([], seen.snapshot(), Coverage(), {})["devices"]
    return {device["ip"]: device for device in devices}


def names(seen: Aggregate, device: str = "192.0.2.7") -> list[tuple[str, str]]:
    return [(one["source"], one["name"]) for one in told(seen)[device]["names_from"]]


def test_names_said_before_the_first_hello_and_after_it_are_the_devices() -> None:
    seen = aggregate()
    seen.observe_sighting(Sighting(START_NS, DHCP, address=PRINTER, mac=MAC, name=b"HP3C2AF4"))
    seen.observe(handshake(START_NS + SECOND_NS), judgement())
    seen.observe_sighting(Sighting(START_NS + 2, MDNS, address=PRINTER, name=b"hp-2.local"))
    one = dialogue(names=(("ehlo", b"hp.lan"),))
    seen.observe_dialogue(one, ClearJudgement("submission"))
    assert names(seen) == [("dhcp", "HP3C2AF4"), ("mdns", "hp-2.local"), ("ehlo", "hp.lan")]


def test_what_was_said_of_a_mac_is_its_devices_at_every_address() -> None:
    seen = aggregate()
    seen.observe_sighting(Sighting(START_NS, LLDP, mac=MAC, name=b"printer-2"))
    seen.observe(handshake(mac=MAC), judgement())
    seen.observe(handshake(mac=MAC, source=PRINTER6), judgement())
    assert names(seen) == names(seen, "2001:db8::7") == [("lldp", "printer-2")]


def test_a_gateway_gives_its_name_to_nobody_behind_it() -> None:
    seen = aggregate()
    seen.observe_sighting(Sighting(START_NS, LLDP, mac=MAC, name=b"gateway"))
    for number in (7, 8):
        seen.observe(handshake(mac=MAC, source=bytes((192, 0, 2, number))), judgement())
    assert names(seen) == names(seen, "192.0.2.8") == []


@pytest.mark.parametrize("mac", VIRTUAL_ROUTERS.values(), ids=VIRTUAL_ROUTERS)
def test_a_mac_that_routers_share_is_no_devices_however_few_are_behind_it(mac: str) -> None:
    seen = aggregate()
    wire = bytes.fromhex(mac)
    seen.observe_sighting(Sighting(START_NS, LLDP, mac=wire, name=b"gateway"))
    seen.observe(handshake(mac=wire), judgement())
    assert names(seen) == []
    assert told(seen)["192.0.2.7"]["mac_is_own"] is False


@pytest.mark.parametrize("mac", ["00005e005301", "0007b4040001", "00000c9fe001", "000573a10001"])
def test_a_mac_next_to_those_that_routers_share_is_the_devices_own(mac: str) -> None:
    seen = aggregate()
    seen.observe(handshake(mac=bytes.fromhex(mac)), judgement())
    assert told(seen)["192.0.2.7"]["mac_is_own"] is True


def test_a_mac_that_holds_another_address_is_not_the_devices() -> None:
    seen = aggregate()
    router = bytes((192, 0, 2, 1))
    seen.observe_sighting(Sighting(START_NS, MDNS, address=router, mac=MAC, name=b"router"))
    seen.observe(handshake(mac=MAC), judgement())
    assert names(seen) == []


def test_text_of_the_wire_is_harmless_and_bounded() -> None:
    seen = aggregate()
    seen.observe(handshake(), judgement())
    for name in (b"=cmd|\x1b[2J<script>\0", b"x" * 900):
        seen.observe_sighting(Sighting(START_NS, MDNS, address=PRINTER, name=name))
    assert [name for _, name in names(seen)] == ["=cmd|\\x1b[2J<script>\\x00", "x" * 255]


def test_each_subject_and_all_together_are_bounded_and_devices_stay_longest() -> None:
    said = Sayings(4, lambda address: address == PRINTER, 40)
    for number in range(9, 0, -1):
        said.observe(Sighting(number, DHCP, address=PRINTER, name=b"%d" % number))
    assert [one.text for one in said.of(PRINTER, None)] == [b"1", b"2", b"3", b"4"]
    for number in range(1000):
        address = b"\x0a\0" + number.to_bytes(2, "big")
        said.observe(Sighting(number, DHCP, address=address, name=b"stranger"))
    assert len(said.of(PRINTER, None)) == 4
    assert said.of(b"\x0a\0\0\0", None) == ()
    assert said.of(b"\x0a\0\3\xe7", None) == (Saying("dhcp", "name", b"stranger", 999, 999),)
    assert said.let_go == 5 + 1000 - 36


def test_what_is_new_of_devices_is_drained_once() -> None:
    seen = aggregate()
    seen.keep(100)
    seen.observe_sighting(Sighting(1, DHCP, address=PRINTER, name=b"a"))
    seen.observe_sighting(Sighting(2, LLDP, mac=MAC, name=b"b", facts=(("model", b"M"),)))
    seen.observe_sighting(Sighting(3, DHCP, address=b"\x0a\0\0\1", name=b"nobody"))
    assert seen.drain().said == ()
    seen.observe(handshake(mac=MAC), judgement())
    assert [saying.text for _, saying in seen.drain().said] == [b"a", b"M", b"b"]
    assert seen.drain().said == ()
    seen.observe_sighting(Sighting(9, DHCP, address=PRINTER, name=b"a"))
    assert seen.drain().said == ((PRINTER, Saying("dhcp", "name", b"a", 1, 9)),)


SAID = st.builds(
    Sighting,
    time_ns=st.integers(0, 3),
    source=st.sampled_from(SightingSource),
    address=st.sampled_from([None, PRINTER, PRINTER6]),
    mac=st.sampled_from([None, MAC]),
    name=st.sampled_from([None, b"a", b"b\0c"]),
    facts=st.lists(st.tuples(st.just("model"), st.sampled_from([b"x", b"y"]))).map(tuple),
)


@given(st.lists(st.lists(SAID)), st.randoms(use_true_random=False))
def test_parts_merged_in_any_order_are_the_whole(parts, random) -> None:
    def counted(part: list[Sighting]) -> Aggregate:
        seen = aggregate(names=2)
        for address in (PRINTER, PRINTER6):
            seen.observe(handshake(mac=MAC, source=address), judgement())
        for sighting in part:
            seen.observe_sighting(sighting)
        return seen

    whole = counted([sighting for part in parts for sighting in part])
    random.shuffle(parts)
    merged = counted([])
    for part in parts:
        merged.merge(counted(part))
    assert [d.sayings for d in merged.snapshot().devices] == [
        d.sayings for d in whole.snapshot().devices
    ]


def test_a_device_tells_names_once_though_two_sources_agree() -> None:
    seen = aggregate()
    seen.observe(handshake(), judgement())
    for source in (DHCP, MDNS):
        seen.observe_sighting(Sighting(START_NS, source, address=PRINTER, name=b"hp"))
    said = told(seen)["192.0.2.7"]
    assert said["names"] == ["hp"]
    assert [one["source"] for one in said["says"]] == ["dhcp", "mdns"]
    assert said["says"][0]["first_seen"] == "2026-11-23T12:00:00.000000Z"
    assert said["names_from"] == [
        {"name": "hp", "source": "dhcp"},
        {"name": "hp", "source": "mdns"},
    ]
