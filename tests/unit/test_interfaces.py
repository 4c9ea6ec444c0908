"""The list of interfaces: names from the kernel, the rest from /sys, unknown where it is."""

import socket

import pytest
from namespaces import namespace

from sniffer.capture import interfaces


@pytest.fixture
def sysfs(tmp_path, monkeypatch):
    """A folder like /sys/class/net, and a kernel with three interfaces."""
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(7, "gone"), (2, "eth0"), (1, "lo")])
    for name, attributes in {
        "eth0": {
            "ifindex": "2",
            "flags": "0x1103",
            "type": "1",
            "carrier": "1",
            "operstate": "up",
            "speed": "1000",
            "duplex": "full",
            "address": "3c:2a:f4:00:00:50",
            "mtu": "1500",
        },
        "lo": {
            "ifindex": "1",
            "flags": "0x9",
            "type": "772",
            "speed": "-1",
            "operstate": "unknown",
        },
        "gone": {"ifindex": "3", "flags": "0x3", "type": "1"},
    }.items():
        (tmp_path / name).mkdir()
        for key, value in attributes.items():
            (tmp_path / name / key).write_text(value + "\n")
    (tmp_path / "drivers" / "e1000e").mkdir(parents=True)
    (tmp_path / "eth0" / "device").mkdir()
    (tmp_path / "eth0" / "device" / "driver").symlink_to(tmp_path / "drivers" / "e1000e")
    return tmp_path


def test_port_shows_link_speed_address_promiscuity_and_driver(sysfs):
    _, eth0, _ = interfaces.interfaces(sysfs)

    assert eth0 == interfaces.Interface(
        name="eth0",
        index=2,
        link_type=1,
        is_up=True,
        has_carrier=True,
        state="up",
        speed_mbps=1000,
        duplex="full",
        mac="3c:2a:f4:00:00:50",
        mtu=1500,
        is_promiscuous=True,
        driver="e1000e",
    )


def test_what_an_interface_does_not_tell_is_unknown(sysfs):
    lo, _, _ = interfaces.interfaces(sysfs)

    assert lo == interfaces.Interface(
        name="lo", index=1, link_type=772, is_up=True, state="unknown", is_promiscuous=False
    )


def test_attributes_of_another_namespaces_interface_are_not_taken_for_ours(sysfs):
    *_, gone = interfaces.interfaces(sysfs)

    assert gone == interfaces.Interface(name="gone", index=7)


def test_this_machines_loopback_is_listed():
    (lo,) = [one for one in interfaces.interfaces() if one.name == "lo"]

    assert lo.index == 1
    assert "lo" in interfaces.names()


def test_counters_of_what_a_card_lost(sysfs):
    folder = sysfs / "eth0" / "statistics"
    folder.mkdir()
    (folder / "rx_missed_errors").write_text("17\n")
    lost = interfaces.error_counters("eth0", sysfs)
    assert set(lost) == set(interfaces.ERROR_COUNTERS)
    assert {name: count for name, count in lost.items() if count} == {"rx_missed_errors": 17}


def test_own_address_of_an_interface(sysfs):
    assert interfaces.mac_of("eth0", sysfs).hex(":") == "3c:2a:f4:00:00:50"
    assert interfaces.mac_of("lo", sysfs) == interfaces.mac_of("nosuch", sysfs) == b""


def test_offloads_of_a_real_interface_are_those_that_ethtool_sets():
    with namespace() as ns:
        ns.veth("far", "near")
        with ns.inside():
            for word in ("on", "off"):
                ns.run("ethtool", "-K", "near", "gro", word, "tso", word)
                told = interfaces.offloads("near")
                assert (told.gro, told.tso) == (word == "on", word == "on")
            assert told.joining == ()
            assert interfaces.offloads("nosuch") == interfaces.Offloads()
