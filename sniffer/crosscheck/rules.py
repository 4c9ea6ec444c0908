"""The named rules that explain why dissectors differ: data in rules.toml, conditions here."""

import datetime
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from parsers.tls.facts import TLS_1_3
from sniffer.config import SERVICES
from sniffer.crosscheck.compare import Difference
from sniffer.crosscheck.hello import FACTS
from sniffer.errors import ConfigError
from sniffer.event import Outcome

FILE = Path(__file__).with_name("rules.toml")
ETHERNET = 1
IPV4_OR_6 = (b"\x08\x00", b"\x86\xdd")
TAGS = (b"\x81\x00", b"\x88\xa8")


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """One reason to differ."""

    name: str
    dissectors: tuple[str, ...]
    kinds: tuple[str, ...]
    condition: str
    right: Literal["hellowatch", "dissector", "neither"]
    why: str
    source: str
    checked: datetime.date


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """The file of them."""

    rule: tuple[Rule, ...]


@cache
def rules() -> tuple[Rule, ...]:
    """Return the rules, in the order they are asked. Raises ConfigError."""
    try:
        found = msgspec.convert(tomllib.loads(FILE.read_text("utf-8")), Rules).rule
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(str(FILE), "", str(error)) from error
    for rule in found:
        if rule.condition not in CONDITIONS:
            raise ConfigError(str(FILE), rule.name, f"no condition {rule.condition!r}")
    return found


def explain(difference: Difference) -> Rule | None:
    """Return the rule that explains a difference; None: nobody knows it yet."""
    for rule in rules():
        is_meant = difference.dissector in rule.dissectors and difference.kind in rule.kinds
        if is_meant and CONDITIONS[rule.condition](difference):
            return rule
    return None


def second_hello_of_a_retry(difference: Difference) -> bool:
    """Tell whether the same client offered the same before, and TLS 1.3 came of it."""
    before, their = difference.handshake, difference.theirs
    if before is None or their is None or before.frame == their.frame:
        return False
    answer = before.server_hello
    agreed = answer is None or answer.negotiated == TLS_1_3
    return agreed and TLS_1_3 in (their.supported_versions or ()) and _offers_the_same(difference)


def same_hello_again(difference: Difference) -> bool:
    """Tell whether the connection's last hello was the same."""
    before = difference.handshake
    return before is not None and before.server_hello is None and _offers_the_same(difference)


def sslv2_away_from_a_start(difference: Difference) -> bool:
    """Tell whether a hello in SSL 2.0's format stands where no stream is known to start."""
    evidence, their = difference.evidence, difference.theirs
    at_start = evidence is None or evidence.begins_stream
    return their is not None and their.hello_format == "sslv2" and not at_start


def hello_behind_another_protocol(difference: Difference) -> bool:
    """Tell whether a hello follows other octets, on a port whose upgrades are not read."""
    evidence, their = difference.evidence, difference.theirs
    if evidence is None or their is None or difference.before is not None:
        return False
    is_record = _payload(difference)[:2] == b"\x16\x03"
    return is_record and evidence.continues_stream and their.server_port not in SERVICES


def octets_came_twice_and_differ(difference: Difference) -> bool:
    """Tell whether overlapping segments of the file say different things."""
    return difference.conflicts > 0


def record_goes_on(difference: Difference) -> bool:
    """Tell whether the hello is whole in its frame, but its record goes on behind it."""
    evidence, payload = difference.evidence, _payload(difference)
    if evidence is None or payload[:1] != b"\x16" or payload[5:6] != b"\x01":
        return False
    record_end = 5 + int.from_bytes(payload[3:5])
    return 5 + _message_length(payload) <= evidence.payload_length < record_end


def dissector_gave_up(difference: Difference) -> bool:
    """Tell whether the dissector failed, or took too long."""
    return difference.problem is not None


def hello_is_cut(difference: Difference) -> bool:
    """Tell whether the hello is not whole in the capture."""
    return difference.handshake is not None and not difference.handshake.hello.complete


def hello_behind_an_upgrade(difference: Difference) -> bool:
    """Tell whether another protocol was spoken before."""
    return difference.handshake is not None and difference.handshake.starttls is not None


def upgrade_without_a_yes(difference: Difference) -> bool:
    """Tell whether the server's yes to the upgrade is not in the capture."""
    handshake = difference.handshake
    if handshake is None or handshake.starttls is None:
        return False
    return not handshake.flow.server_half or handshake.outcome is Outcome.REFUSED_STARTTLS


def hello_in_sslv2_format(difference: Difference) -> bool:
    """Tell whether our hello is one in SSL 2.0's format."""
    return difference.ours is not None and difference.ours.hello_format == "sslv2"


def in_a_tunnel(difference: Difference) -> bool:
    """Tell whether the hello came through a tunnel."""
    return difference.handshake is not None and bool(difference.handshake.flow.tunnels)


def behind_a_shim(difference: Difference) -> bool:
    """Tell whether neither IP nor a VLAN tag follows the outermost Ethernet header's addresses."""
    evidence = difference.evidence
    if evidence is None or evidence.link != ETHERNET:
        return False
    at = 12
    while evidence.octets[at : at + 2] in TAGS:
        at += 4
    return evidence.octets[at : at + 2] not in IPV4_OR_6


def over_several_records(difference: Difference) -> bool:
    """Tell whether the message at the payload's begin is longer than its record."""
    payload = _payload(difference)
    return payload[:1] == b"\x16" and _message_length(payload) > int.from_bytes(payload[3:5])


def over_several_segments(difference: Difference) -> bool:
    """Tell whether the payload of the hello's frame does not hold all of it."""
    payload, evidence = _payload(difference), difference.evidence
    if payload[:2] != b"\x16\x03" or payload[5:6] != b"\x01":
        return True
    return evidence is not None and evidence.payload_length < 5 + int.from_bytes(payload[3:5])


CONDITIONS: dict[str, Callable[[Difference], bool]] = {
    condition.__name__: condition
    for condition in (
        *(second_hello_of_a_retry, same_hello_again, sslv2_away_from_a_start),
        *(dissector_gave_up, hello_is_cut, hello_behind_an_upgrade, upgrade_without_a_yes),
        *(hello_behind_another_protocol, octets_came_twice_and_differ, record_goes_on),
        *(hello_in_sslv2_format, in_a_tunnel, behind_a_shim),
        *(over_several_records, over_several_segments),
    )
}


def _offers_the_same(difference: Difference) -> bool:
    before, their = difference.before, difference.theirs
    return (
        before is not None
        and their is not None
        and all(
            getattr(before, fact) == getattr(their, fact) or getattr(their, fact) is None
            for fact in FACTS
            if fact != "record_version"  # RFC 8446 has it 0x0303 in the second one
        )
    )


def _payload(difference: Difference) -> bytes:
    evidence = difference.evidence
    if evidence is None or evidence.payload_at < 0:
        return b""
    return evidence.octets[evidence.payload_at :]


def _message_length(payload: bytes) -> int:
    return 4 + int.from_bytes(payload[6:9])
