"""What the kernel says of links, octet by octet; live ones are in tests/cli/test_interfaces.py."""

import struct

import pytest

from sniffer.capture import rtnetlink


def attribute(kind: int, value: bytes) -> bytes:
    """Make an attribute, padded to 4 octets."""
    octets = struct.pack("=HH", 4 + len(value), kind) + value
    return octets + bytes(-len(octets) % 4)


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def message(kind: int, body: bytes) -> bytes:
    octets = struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body
    return octets + bytes(-len(octets) % 4)


def link(index: int, *attributes: bytes) -> bytes:
    head = struct.pack("=BxHiII", 0, 1, index, 0x1003, 0)
    return message(rtnetlink.RTM_NEWLINK, head + b"".join(attributes))


def address(index: int, family: int, length: int, octets: bytes) -> bytes:
    head = struct.pack("=BBBBI", family, length, 0, 0, index)
    return message(rtnetlink.RTM_NEWADDR, head + attribute(rtnetlink.IFA_ADDRESS, octets))


DONE = message(rtnetlink.NLMSG_DONE, struct.pack("=I", 0))
# VLAN 12 as iproute2 makes it: IFLA_LINKINFO { IFLA_INFO_KIND, IFLA_INFO_DATA { protocol, id } }
VLAN = attribute(
    18,
    attribute(1, b"vlan\0") + attribute(2, attribute(5, b"\x81\0") + attribute(1, b"\x0c\0")),
)
COUNTED = attribute(23, struct.pack("=10Q", 7, 3, 700, 300, 1, 0, 2, 5, 0, 0))


class Answers:
    """A kernel that answers each request with what it is given."""

    def __init__(self, answers: list[list[bytes]]) -> None:
        self.answers = answers

    def __call__(self, *_: object) -> "Answers":
        self.left = list(self.answers.pop(0))
        return self

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, octets: bytes) -> None:
        assert len(octets) == 32

    def recv(self, _size: int) -> bytes:
        return self.left.pop(0)


def links_of(monkeypatch: pytest.MonkeyPatch, links: list[bytes], addresses: list[bytes]) -> dict:
    monkeypatch.setattr(rtnetlink.socket, "socket", Answers([links, addresses]))
    return rtnetlink.links()


def test_vlan_tells_its_number_parent_and_what_passed(monkeypatch):
    octets = link(9, number(5, 4), number(30, 2), VLAN, COUNTED)
    found = links_of(
        monkeypatch,
        [link(4, number(5, 4), number(10, 6)) + octets, DONE],
        [address(9, 10, 64, bytes(15) + b"\1") + address(9, 2, 24, bytes((10, 9, 0, 7))), DONE],
    )
    vlan = found[9]
    assert (vlan.kind, vlan.vlan_id, vlan.parent, vlan.promiscuity) == ("vlan", 12, 4, 2)
    assert vlan.received == rtnetlink.Traffic(frames=7, bytes=700, errors=1, dropped=2)
    assert vlan.sent == rtnetlink.Traffic(frames=3, bytes=300, errors=0, dropped=5)
    assert vlan.addresses == ["10.9.0.7/24", "::1/64"]
    assert (found[4].kind, found[4].parent, found[4].master) == (None, None, 6)


def test_other_end_in_another_namespace_is_no_number_here(monkeypatch):
    found = links_of(monkeypatch, [link(3, number(5, 7), number(37, 0)), DONE], [DONE])
    assert found[3].parent is None


@pytest.mark.parametrize("cut", range(0, 120, 3))
def test_answer_cut_anywhere_is_read_as_far_as_it_goes(monkeypatch, cut):
    whole = link(9, number(5, 4), VLAN, COUNTED)
    found = links_of(monkeypatch, [whole[:cut], DONE], [DONE])
    assert set(found) <= {9}


def test_kernel_that_refuses_leaves_all_unknown(monkeypatch):
    refused = message(rtnetlink.NLMSG_ERROR, struct.pack("=i", -95))
    assert links_of(monkeypatch, [refused], [DONE]) == {}
