"""Messages in which devices say who they are, made octet by octet from the RFCs.

Like ``craft``, with nothing of the code under test. The same call gives the same octets.
"""

import struct
from collections.abc import Sequence

import craft
from craft import CLIENT_MAC, address, ethernet, ip, mac, u16s, udp

A, NS, CNAME, PTR, TXT, AAAA, SRV = 1, 2, 5, 12, 16, 28, 33
NB, NBSTAT = 0x20, 0x21
RESPONSE = 0x8400
MDNS_GROUP, MDNS_GROUP_6, MDNS_MAC = "224.0.0.251", "ff02::fb", "01:00:5e:00:00:fb"
EVERYBODY, EVERYBODY_MAC = "255.255.255.255", "ff:ff:ff:ff:ff:ff"
LLDP_MAC = "01:80:c2:00:00:0e"


def datagram(
    source: str,
    destination: str,
    ports: tuple[int, int],
    payload: bytes,
    *,
    source_mac: str = CLIENT_MAC,
    to_mac: str = craft.SERVER_MAC,
    vlans: Sequence[int] = (),
) -> bytes:
    """Make a frame with one UDP datagram."""
    packet = ip(source, destination, udp(source, destination, *ports, payload), craft.UDP)
    return ethernet(packet, source_mac, to_mac, vlans=vlans)


# ---------------------------------------------------------------------- DNS and mDNS


def name(text: str | bytes, end: bytes = b"\0") -> bytes:
    """Write a name in the form of DNS; a dot stands between labels."""
    octets = text.encode() if isinstance(text, str) else text
    return b"".join(craft.vector(1, label) for label in octets.split(b".") if label) + end


def question(text: str | bytes, kind: int = A) -> bytes:
    """Ask for one kind of record."""
    return name(text) + u16s(kind, 1)


def record(owner: str | bytes, kind: int, data: bytes, seconds: int = 300) -> bytes:
    """Make a record; ``owner`` is a name, or octets that already are one, ended by NUL or not."""
    wire = name(owner) if isinstance(owner, str) else owner
    return wire + u16s(kind, 1) + struct.pack("!I", seconds) + craft.vector(2, data)


def a(owner: str, ip_address: str, seconds: int = 300) -> bytes:
    """Say which address a name has."""
    octets = address(ip_address)
    return record(owner, A if len(octets) == 4 else AAAA, octets, seconds)


def cname(owner: str, target: str, seconds: int = 300) -> bytes:
    """Say what a name stands for."""
    return record(owner, CNAME, name(target), seconds)


def srv(owner: str, target: str, port: int = 631) -> bytes:
    """Say where a service is."""
    return record(owner, SRV, u16s(0, 0, port) + name(target))


def txt(owner: str, *strings: bytes) -> bytes:
    """Say more of a service."""
    return record(owner, TXT, b"".join(craft.vector(1, string) for string in strings))


def dns(
    *records: bytes, questions: Sequence[bytes] = (), flags: int = RESPONSE, number: int = 7
) -> bytes:
    """Make a message; all records stand in the answer section."""
    head = u16s(number, flags, len(questions), len(records), 0, 0)
    return head + b"".join(questions) + b"".join(records)


def dns_answer(
    asked: str, *records: bytes, client: str = "10.0.0.50", server: str = "10.0.0.1"
) -> bytes:
    """Make the frame in which a client is answered."""
    message = dns(*records, questions=[question(asked)])
    return datagram(
        server,
        client,
        (53, 50_053),
        message,
        source_mac=craft.SERVER_MAC,
        to_mac=CLIENT_MAC,
    )


def mdns(*records: bytes, source: str = "10.0.0.50", source_mac: str = CLIENT_MAC) -> bytes:
    """Make the frame of an announcement."""
    group = MDNS_GROUP_6 if ":" in source else MDNS_GROUP
    message = dns(*records, number=0)
    return datagram(source, group, (5353, 5353), message, source_mac=source_mac, to_mac=MDNS_MAC)


# ------------------------------------------------------------------------------ DHCP


def option(code: int, data: bytes) -> bytes:
    """Make one option of DHCP."""
    return bytes((code,)) + craft.vector(1, data)


def dhcp(
    kind: int,
    *options: bytes,
    is_reply: bool = False,
    own: str = "0.0.0.0",
    given: str = "0.0.0.0",
    client: str = CLIENT_MAC,
    transaction: int = 0x3903F326,
    server_name: bytes = b"",
    boot_file: bytes = b"",
    end: bytes = b"\xff",
) -> bytes:
    """Make a message of DHCP."""
    head = struct.pack("!BBBBIHH", 2 if is_reply else 1, 1, 6, 0, transaction, 0, 0)
    head += address(own) + address(given) + bytes(8) + mac(client).ljust(16, b"\0")
    head += server_name.ljust(64, b"\0") + boot_file.ljust(128, b"\0")
    kinds = option(53, bytes((kind,))) if kind else b""
    return head + bytes.fromhex("63825363") + kinds + b"".join(options) + end


def dhcp_frame(message: bytes, source: str = "0.0.0.0", destination: str = EVERYBODY) -> bytes:
    """Make the frame of a client's message, or of a server's."""
    ports = (67, 68) if message[0] == 2 else (68, 67)
    return datagram(source, destination, ports, message, to_mac=EVERYBODY_MAC)


def option6(code: int, data: bytes) -> bytes:
    """Make one option of DHCPv6."""
    return u16s(code) + craft.vector(2, data)


def dhcpv6(kind: int, *options: bytes, transaction: int = 0x0A562E) -> bytes:
    """Make a message of DHCPv6."""
    return bytes((kind,)) + transaction.to_bytes(3, "big") + b"".join(options)


def duid(client: str = CLIENT_MAC) -> bytes:
    """Make the option of a client's identifier out of its MAC and a time."""
    return option6(1, u16s(1, 1) + bytes(4) + mac(client))


def ia_na(ip_address: str, seconds: int = 3600) -> bytes:
    """Make the option that tells an address."""
    inner = option6(5, address(ip_address) + struct.pack("!II", seconds, seconds))
    return option6(3, bytes(12) + inner)


def dhcpv6_frame(message: bytes, source: str = "fe80::50", **more: str) -> bytes:
    """Make the frame of a client's message, or of a server's."""
    ports = (547, 546) if message[0] in (2, 7) else (546, 547)
    to_mac = more.get("to_mac", "33:33:00:01:00:02")
    return datagram(source, "ff02::1:2", ports, message, to_mac=to_mac)


# --------------------------------------------------------------------------- NetBIOS


def netbios_name(text: bytes, suffix: int = 0x20) -> bytes:
    """Write a name as NetBIOS does, and its scope, which is empty."""
    octets = text.ljust(15, b" ") + bytes((suffix,))
    letters = b"".join(bytes((0x41 + (o >> 4), 0x41 + (o & 15))) for o in octets)
    return craft.vector(1, letters) + b"\0"


def netbios_registration(text: bytes, ip_address: str, suffix: int = 0x20, group: int = 0) -> bytes:
    """Make a message that claims a name for an address."""
    owner = netbios_name(text, suffix)
    claim = record(b"\xc0\x0c", NB, u16s(group) + address(ip_address), 300_000)
    return u16s(7, 0x2910, 1, 0, 0, 1) + owner + u16s(NB, 1) + claim


def netbios_status(*names: tuple[bytes, int, int], unit: bytes = bytes(6)) -> bytes:
    """Make the answer to a question for a node's status: names, suffixes, flags."""
    listed = b"".join(text.ljust(15, b" ") + bytes((s,)) + u16s(f) for text, s, f in names)
    data = bytes((len(names),)) + listed + unit + bytes(40)
    return u16s(7, 0x8400, 0, 1, 0, 0) + record(netbios_name(b"*", 0), NBSTAT, data, 0)


# ------------------------------------------------------------------------------ LLDP


def tlv(kind: int, value: bytes) -> bytes:
    """Make one TLV of LLDP."""
    return u16s(kind << 9 | len(value)) + value


def lldp(*tlvs: bytes, client: str = CLIENT_MAC, end: bytes = b"\0\0") -> bytes:
    """Make what a device says of itself: its chassis, its port and how long, then the rest."""
    begun = tlv(1, b"\4" + mac(client)) + tlv(2, b"\3" + mac(client)) + tlv(3, u16s(120))
    return begun + b"".join(tlvs) + end


def management(ip_address: str) -> bytes:
    """Make the TLV of an address it can be managed at."""
    octets = address(ip_address)
    family = b"\1" if len(octets) == 4 else b"\2"
    return tlv(8, craft.vector(1, family + octets) + b"\2" + bytes(4) + b"\0")


def lldp_frame(message: bytes, client: str = CLIENT_MAC, vlans: Sequence[int] = ()) -> bytes:
    """Make the frame in which a device introduces itself."""
    return ethernet(message, client, LLDP_MAC, kind=0x88CC, vlans=vlans)
