"""dpkt: its packet classes and its TLS records."""

import ipaddress
import struct
from collections.abc import Iterator
from typing import Any

from sniffer.crosscheck.hello import Hello, without_grease
from sniffer.crosscheck.streams import Streams, whole_hello

SERVER_NAME = 0
SUPPORTED_VERSIONS = 43


def hellos(path: str) -> Iterator[Hello]:
    """Yield the hellos of a capture."""
    import dpkt  # type: ignore[import-untyped] # it has no types

    streams = Streams()
    with open(path, "rb") as file:
        reader = dpkt.pcap.UniversalReader(file)
        link = reader.datalink()
        for number, (_, octets) in enumerate(reader, 1):
            try:
                packet = _packet(link, octets)
            except dpkt.UnpackError:
                continue
            while isinstance(packet.data, dpkt.ip.IP | dpkt.ip6.IP6):
                packet = packet.data
            segment = packet.data
            if not isinstance(packet, dpkt.ip.IP | dpkt.ip6.IP6):
                continue
            if not isinstance(segment, dpkt.tcp.TCP):
                continue
            ends = (packet.src, segment.sport, packet.dst, segment.dport)
            is_syn = bool(segment.flags & dpkt.tcp.TH_SYN)
            said = streams.add(ends, segment.seq, bytes(segment.data), is_syn)
            hello = _hello(number, ends, said) if said else None
            if hello is not None:
                streams.forget(ends)
                yield hello


def _packet(link: int, octets: bytes) -> Any:  # noqa: ANN401 (dpkt has no types)
    import dpkt

    kinds = {
        0: dpkt.loopback.Loopback,
        1: dpkt.ethernet.Ethernet,
        108: dpkt.loopback.Loopback,
        113: dpkt.sll.SLL,
        276: dpkt.sll2.SLL2,
    }
    if link in kinds:
        return kinds[link](octets)
    if link in (12, 14, 101, 228, 229):
        return dpkt.ip6.IP6(octets) if octets[:1] and octets[0] >> 4 == 6 else dpkt.ip.IP(octets)
    raise RuntimeError(f"dpkt has no class for link type {link}")


def _hello(number: int, ends: tuple[bytes, int, bytes, int], said: bytes) -> Hello | None:
    import dpkt

    records = whole_hello(said)
    if records is None:
        return None
    try:
        first = dpkt.ssl.TLSRecord(records)
        message = dpkt.ssl.TLSHandshake(first.data)
        hello = message.data
    except (dpkt.UnpackError, dpkt.ssl.SSL3Exception, struct.error, IndexError):
        return None
    if not isinstance(hello, dpkt.ssl.TLSClientHello):
        return None
    extensions = dict(reversed(list(getattr(hello, "extensions", ()))))
    listed = extensions.get(SUPPORTED_VERSIONS, b"\0")
    name = extensions.get(SERVER_NAME, b"")
    return Hello(
        frame=number,
        client=str(ipaddress.ip_address(ends[0])),
        client_port=ends[1],
        server=str(ipaddress.ip_address(ends[2])),
        server_port=ends[3],
        hello_format="tls",
        record_version=first.version,
        legacy_version=hello.version,
        supported_versions=without_grease(
            [int.from_bytes(listed[at : at + 2], "big") for at in range(1, len(listed) - 1, 2)]
        ),
        suites=without_grease([suite.code for suite in hello.ciphersuites]),
        server_name=name[5:].decode("ascii", "replace"),
    )
