"""What is kept of one handshake of a stack as it stood on the wire: its evidence.

Kept are the messages in clear, and what frames around them are rebuilt from. Whose it is says
the row it belongs to, and nothing in it.
"""

import msgspec
from msgspec import Struct

from parsers.tls.facts import Alert
from sniffer.event import Handshake, Octets, Outcome, Side
from sniffer.log import one_line


class Exhibit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One handshake, as far as it passed in clear."""

    time_ns: int
    path: str = ""
    """The capture file it was seen in, and ..."""
    frame: int
    """... the frame there; "" live."""
    source_port: int
    destination: str
    """Address, in hexadecimal."""
    destination_port: int
    vlan: int | None = None
    hello: bytes
    record_version: int | None = None
    """None: SSLv2 format, which has no record around it."""
    answer: bytes = b""
    answer_version: int | None = None
    starttls: str | None = None
    """The protocol that was spoken before, where the server agreed to an upgrade."""
    alert: Alert | None = None
    alert_sender: Side | None = None

    def encode(self) -> str:
        """Return it as JSON."""
        return msgspec.json.encode(self).decode()


def exhibit(handshake: Handshake, octets: Octets) -> Exhibit:
    """Return what is kept of a handshake whose octets are known."""
    flow, answered = handshake.flow, handshake.server_hello
    is_upgraded = handshake.outcome is not Outcome.REFUSED_STARTTLS
    return Exhibit(
        time_ns=handshake.time_ns,
        path=one_line(handshake.path or ""),
        frame=handshake.frame,
        source_port=flow.source_port,
        destination=flow.destination.hex(),
        destination_port=flow.destination_port,
        vlan=flow.vlan,
        hello=octets.hello,
        record_version=handshake.hello.record_version,
        answer=octets.answer,
        answer_version=None if answered is None else answered.record_version,
        starttls=handshake.starttls if is_upgraded else None,
        alert=handshake.alert,
        alert_sender=handshake.alert_sender,
    )


def read_exhibit(text: str) -> Exhibit:
    """Return what was kept. Raises msgspec.DecodeError."""
    return msgspec.json.decode(text, type=Exhibit)
