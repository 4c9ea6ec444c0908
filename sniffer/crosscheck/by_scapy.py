"""scapy: its layers down to TCP, and its TLS layer."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from sniffer.crosscheck.hello import Hello, without_grease
from sniffer.crosscheck.streams import Streams, whole_hello


def hellos(path: str) -> Iterator[Hello]:
    """Yield the hellos of a capture."""
    from scapy.all import conf, load_contrib, load_layer
    from scapy.layers.inet import IP, TCP
    from scapy.layers.inet6 import IPv6
    from scapy.packet import Padding
    from scapy.utils import PcapReader

    conf.verb = 0
    load_layer("tls")
    load_layer("vxlan")
    load_contrib("erspan")
    load_contrib("geneve")
    streams = Streams()
    with PcapReader(path) as reader:
        packet: Any
        for number, packet in enumerate(reader, 1):
            segment = packet.getlayer(TCP)
            outer = None if segment is None else segment.underlayer
            while outer is not None and not isinstance(outer, IP | IPv6):
                outer = outer.underlayer  # of IPv6, its extension headers
            if segment is None or outer is None:
                continue
            ends = (_packed(outer.src), int(segment.sport), _packed(outer.dst), int(segment.dport))
            padding = segment.getlayer(Padding)
            payload = bytes(segment.payload)
            if padding is not None:
                payload = payload[: len(payload) - len(padding.load)]
            said = streams.add(ends, int(segment.seq), payload, bool(segment.flags.S))
            hello = _hello(number, ends, said) if said else None
            if hello is not None:
                streams.forget(ends)
                yield hello


def _hello(number: int, ends: tuple[bytes, int, bytes, int], said: bytes) -> Hello | None:
    from scapy.layers.tls.extensions import TLS_Ext_ServerName, TLS_Ext_SupportedVersion_CH
    from scapy.layers.tls.handshake import TLSClientHello
    from scapy.layers.tls.handshake_sslv2 import SSLv2ClientHello
    from scapy.layers.tls.record import TLS
    from scapy.layers.tls.record_sslv2 import SSLv2

    bare = Hello(
        frame=number,
        client=str(ipaddress.ip_address(ends[0])),
        client_port=ends[1],
        server=str(ipaddress.ip_address(ends[2])),
        server_port=ends[3],
    )
    first: Any
    if said[0] & 0x80 and len(said) >= 11 and said[2] == 1:
        first = SSLv2(said)  # type: ignore[no-untyped-call] # it has no types
        found = first.getlayer(SSLv2ClientHello)
        if found is None or not found.version or not found.challengelen:
            return None
        return replace(bare, hello_format="sslv2", legacy_version=int(found.version))
    records = whole_hello(said)
    if records is None:
        return None
    first = TLS(records)  # type: ignore[no-untyped-call] # it has no types
    found = first.getlayer(TLSClientHello)
    if found is None:
        return None
    name, versions = "", []
    for extension in found.ext or ():
        if isinstance(extension, TLS_Ext_ServerName) and extension.servernames:
            name = bytes(extension.servernames[0].servername).decode("ascii", "replace")
        if isinstance(extension, TLS_Ext_SupportedVersion_CH):
            versions = [int(version) for version in extension.versions or ()]
    return replace(
        bare,
        hello_format="tls",
        record_version=int(first.version),
        legacy_version=int(found.version),
        supported_versions=without_grease(versions),
        suites=without_grease([int(suite) for suite in found.ciphers or ()]),
        server_name=name,
    )


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed
