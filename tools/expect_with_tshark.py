#!/usr/bin/env python3
"""Write pcaps/NAME.expected.ndjson: the events a reader of the capture NAME must report.

    expect_with_tshark.py [--check] [NAME...]

None of it comes from HelloWatch. What stands on the wire is read by tshark (frame, time,
addresses, versions, suites, names, alerts, JA3, community id) and ja4plus (JA4); what it
amounts to (verdict, outcome, who ended it, profile) is what the scripts of
make_pcaps.py and make_program_pcaps.py know about each conversation and the contract says of it.

One event a line, in the contract's form, with the keys that are checked only; null stands
for a key that must not be there. --check writes nothing and exits 1 if a committed file
says otherwise; without ja4plus it leaves JA4 out of the comparison.
"""

import argparse
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import make_pcaps  # noqa: E402 - lies beside this file
import make_program_pcaps  # noqa: E402 - lies beside this file

PCAPS = ROOT / "pcaps"
SERVICES = {
    **{993: "imaps", 995: "pop3s", 465: "smtps"},
    **{143: "imap", 110: "pop3", 25: "smtp", 587: "submission"},
}
UPGRADES = {"imap": "STARTTLS", "pop3": "STLS", "smtp": "STAR"}
"""What a client says to go on in TLS; tshark keeps four letters of an SMTP command."""
RETRY_RANDOM = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"
VERSIONS = {
    0x0002: ("SSL 2.0", "2.0", "ssl"),
    0x0300: ("SSL 3.0", "3.0", "ssl"),
    0x0301: ("TLS 1.0", "1.0", "tls"),
    0x0302: ("TLS 1.1", "1.1", "tls"),
    0x0303: ("TLS 1.2", "1.2", "tls"),
    0x0304: ("TLS 1.3", "1.3", "tls"),
}
FALLBACK_SCSV = 0x5600

FIELDS = {
    "frame": "frame.number",
    "time": "frame.time_epoch",
    "stream": "tcp.stream",
    "ip": "ip.src",
    "ipv6": "ipv6.src",
    "to_ip": "ip.dst",
    "to_ipv6": "ipv6.dst",
    "port": "tcp.srcport",
    "to_port": "tcp.dstport",
    "syn": "tcp.flags.syn",
    "mac": "eth.src",
    "vlan": "vlan.id",
    "community_id": "communityid",
    "record": "tls.record.version",
    "kind": "tls.handshake.type",
    "version": "tls.handshake.version",
    "random": "tls.handshake.random",
    "suites": "tls.handshake.ciphersuite",
    "specs": "tls.handshake.cipherspec",
    "supported": "tls.handshake.extensions.supported_version",
    "name": "tls.handshake.extensions_server_name",
    "alpn": "tls.handshake.extensions_alpn_str",
    "ja3": "tls.handshake.ja3",
    "level": "tls.alert_message.level",
    "alert": "tls.alert_message.desc",
    "imap": "imap.request.command",
    "pop3": "pop.request.command",
    "smtp": "smtp.req.command",
}

Row = dict[str, list[str]]
Event = dict[str, Any]
Known = dict[str, list[make_pcaps.Told]]
"""What is known of each client's conversations, in the order of their first frames."""


def known_captures() -> dict[Path, Known]:
    """Return what the scripts know of each capture they make."""
    office: Known = {}
    for visit in sorted(make_pcaps.office(), key=lambda visit: visit.time_ns):
        office.setdefault(visit.device.address, []).append(visit.told)
    found = {PCAPS / "office.pcapng": office}
    for name, paid in make_program_pcaps.captures().items():
        programs = found[PCAPS / f"{name}.pcap"] = {}
        for one in paid:
            programs.setdefault(one.client, []).append(one.told)
    return found


def tshark(*arguments: str) -> str:
    """Run tshark and return what it prints."""
    program = shutil.which("tshark")
    if program is None:
        raise SystemExit("tshark is not installed")
    run = subprocess.run(  # noqa: S603 - the arguments are ours
        [program, *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout


def names(field: str) -> dict[int, str]:
    """Return tshark's names of a field's values."""
    table = {}
    for line in tshark("-G", "values").splitlines():
        match line.split("\t"):
            case ["V", found, code, text] if found == field:
                table[int(code, 0)] = text
    return table


MAIL_PORTS = " || ".join(f"tcp.port == {port}" for port in SERVICES)


def rows(path: Path, wanted: str = MAIL_PORTS) -> list[Row]:
    """Return tshark's fields of the frames a display filter wants: all TCP of the mail ports."""
    asked = ["-r", str(path), "--enable-protocol", "communityid", "-Y", wanted]
    asked += ["-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=;"]
    for field in FIELDS.values():
        asked += ["-e", field]
    lines = tshark(*asked).splitlines()
    return [
        {
            key: cell.split(";") if cell else []
            for key, cell in zip(FIELDS, line.split("\t"), strict=True)
        }
        for line in lines
    ]


def events(path: Path, known: Known) -> list[Event]:
    """Return the expected events, in the order of their frames."""
    suite_names = names("tls.handshake.ciphersuite")
    alert_names = names("tls.alert_message.desc")
    conversations: dict[str, list[Row]] = {}
    for row in rows(path):
        conversations.setdefault(row["stream"][0], []).append(row)

    left = {client: list(all_told) for client, all_told in known.items()}
    found = []
    for conversation in conversations.values():
        hellos = [row for row in conversation if "1" in row["kind"]]
        if not hellos:
            continue
        hello, answers = hellos[0], [row for row in conversation if "2" in row["kind"]]
        retried = bool(answers) and RETRY_RANDOM in answers[0]["random"]
        if len(hellos) != 1 + retried:
            raise SystemExit(f"frame {hello['frame'][0]}: {len(hellos)} hellos in one conversation")
        if not left.get(source(hello)):
            raise SystemExit(f"frame {hello['frame'][0]}: a hello nobody knows of")
        told = left[source(hello)].pop(0)
        event = offered(hello, suite_names)
        upgraded(event, conversation)
        agreed(event, answers[retried:], suite_names)
        alerted(event, conversation, source(hello), alert_names)
        seen(event, conversation, source(hello))
        add_known(event, told)
        found.append(event)
    if any(left.values()):
        raise SystemExit(f"{path.name}: no hello of {[client for client in left if left[client]]}")
    return sorted(found, key=lambda event: int(event["hellowatch"]["frame"]))


def offered(hello: Row, suite_names: dict[int, str]) -> Event:
    """Return the part of an event that the hello and its frame tell."""
    sslv2 = bool(hello["specs"])
    port = int(hello["to_port"][-1])
    suites = [int(suite, 0) for suite in hello["suites"]]
    client: Event = {
        "server_name": hello["name"][0] if hello["name"] else None,
        "ja3": hello["ja3"][0] if hello["ja3"] else None,
    }
    if not sslv2:  # SSL 2.0's own specs have no IANA name, so that list is not compared
        client["supported_ciphers"] = [
            suite_names.get(suite, f"0x{suite:04x}") for suite in suites if not is_grease(suite)
        ]
    listed = (int(version, 0) for version in hello["supported"])
    versions = [version for version in listed if not is_grease(version)]
    legacy = int(hello["version"][0], 0)
    highest = max(map(final, versions)) if versions else min(legacy, 0x0303)
    seconds, fraction = hello["time"][0].split(".")
    moment = datetime.fromtimestamp(int(seconds), tz=UTC)
    network: Event = {"protocol": SERVICES[port], "community_id": hello["community_id"][-1]}
    network["vlan"] = {"id": hello["vlan"][-1]} if hello["vlan"] else None
    return {
        "@timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction[:6]}Z",
        "source": {
            "ip": source(hello),
            "port": int(hello["port"][-1]),
            "mac": hello["mac"][-1] if hello["mac"] else None,
        },
        "destination": {"ip": (hello["to_ipv6"] or hello["to_ip"])[-1], "port": port},
        "network": network,
        "tls": {"client": client},
        "hellowatch": {
            "max_offered": VERSIONS[highest][0],
            "record_version": None if sslv2 else code(hello["record"][0]),
            "legacy_version": f"0x{legacy:04x}",
            "supported_versions": [f"0x{version:04x}" for version in versions] or None,
            "hello_format": "sslv2" if sslv2 else "tls",
            "hello_complete": True,
            "alpn": hello["alpn"] or None,
            "fallback_scsv": FALLBACK_SCSV in suites,
            "starttls": None,
            "tunnel": None,
            "frame": int(hello["frame"][0]),
        },
    }


def is_grease(number: int) -> bool:
    """Tell one of RFC 8701's sixteen values that mean nothing."""
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


def final(version: int) -> int:
    """Return the version that a draft of TLS 1.3 became."""
    return 0x0304 if version >> 8 == 0x7F else version


def upgraded(event: Event, conversation: list[Row]) -> None:
    """Add the protocol that was spoken in clear before an upgrade."""
    asked = [
        name
        for name, command in UPGRADES.items()
        if any(command in map(str.upper, row[name]) for row in conversation)
    ]
    event["hellowatch"]["starttls"] = asked[0] if asked else None


def agreed(event: Event, answers: list[Row], suite_names: dict[int, str]) -> None:
    """Add what the ServerHello chose; without one the keys must be absent."""
    tls = event["tls"]
    if not answers:
        tls |= {"version": None, "version_protocol": None, "cipher": None, "next_protocol": None}
        return
    answer = answers[0]
    version = int((answer["supported"] or answer["version"])[0], 0)
    _, tls["version"], tls["version_protocol"] = VERSIONS[version]
    tls["cipher"] = suite_names[int(answer["suites"][0], 0)]
    tls["next_protocol"] = answer["alpn"][0] if answer["alpn"] else None


def alerted(
    event: Event, conversation: list[Row], client: str, alert_names: dict[int, str]
) -> None:
    """Add the alert that passed in clear; without one the key must be absent."""
    event["hellowatch"]["alert"] = None
    for row in conversation:
        if row["alert"]:
            description = int(row["alert"][0])
            event["hellowatch"]["alert"] = {
                "level": "fatal" if row["level"][0] == "2" else "warning",
                "description": alert_names[description].lower().replace(" ", "_"),
                "code": description,
                "sender": "client" if source(row) == client else "server",
            }
            return


def seen(event: Event, conversation: list[Row], client: str) -> None:
    """Add which halves of the conversation there are."""
    senders = {source(row) for row in conversation}
    event["hellowatch"]["flow"] = {
        "client_half": client in senders,
        "server_half": len(senders) == 2,
        "syn_seen": any(row["syn"][0] in ("1", "True") for row in conversation),
    }


def add_known(event: Event, told: make_pcaps.Told) -> None:
    """Add what the script knows; what both say must agree."""
    part = event["hellowatch"]
    if part["max_offered"] != told["max_offered"]:
        raise SystemExit(f"frame {part['frame']}: tshark reads {part['max_offered']}")
    sender = part["alert"] and part["alert"]["sender"]
    if told["outcome"] == "alert" and told["ended_by"] != sender:
        raise SystemExit(f"frame {part['frame']}: tshark reads an alert of {sender}")
    part |= told
    if told["outcome"] != "alert":
        part["alert"] = None  # one that comes too late decides nothing
    if told["outcome"] == "established":
        event["tls"]["established"] = True


def source(row: Row) -> str:
    """Return the sender's address; of a tunnel's, the innermost."""
    return (row["ipv6"] or row["ip"])[-1]


def code(text: str) -> str:
    """Write a number as the contract does."""
    return f"0x{int(text, 0):04x}"


def add_ja4(path: Path, found: list[Event]) -> bool:
    """Add JA4 by ja4plus to the events of hellos in TLS format; False: it is not installed."""
    try:
        from ja4plus.fingerprinters.ja4 import JA4Fingerprinter
    except ImportError:
        return False
    from scapy.layers.inet import IP, TCP
    from scapy.packet import Raw
    from scapy.utils import PcapReader

    # ja4plus joins no hello whose first segment is a bare record header, so each hello is
    # handed to it in one packet of its own.
    by_frame = {event["hellowatch"]["frame"]: event["hellowatch"] for event in found}
    streams: dict[tuple[int, int], dict[int, bytes]] = {}
    with PcapReader(str(path)) as reader:
        for number, packet in enumerate(reader, 1):
            if TCP not in packet:
                continue
            segment = packet[TCP]
            stream = streams.setdefault((segment.sport, segment.dport), {})
            if Raw in segment:
                stream[segment.seq] = segment[Raw].load
            part = by_frame.get(number)
            if part is None:
                continue
            part["ja4"] = None
            if part["hello_format"] == "tls":
                octets = b"".join(stream[seq] for seq in sorted(stream))
                octets = octets[octets.index(b"\x16\x03") :]  # after an upgrade's commands
                whole = IP() / TCP(sport=segment.sport, dport=segment.dport) / Raw(octets)
                part["ja4"] = JA4Fingerprinter().process_packet(whole)
                if part["ja4"] is None:
                    raise SystemExit(f"frame {number}: ja4plus finds no hello")
    return True


def main() -> int:
    """Write the expected events, or compare them."""
    parser = argparse.ArgumentParser(description="Write pcaps/NAME.expected.ndjson")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if they differ")
    parser.add_argument("names", metavar="NAME", nargs="*", help="some captures only")
    asked = parser.parse_args()

    captures = known_captures()
    names_known = {path.stem for path in captures}
    if unknown := set(asked.names) - names_known:
        parser.error(f"no capture {', '.join(sorted(unknown))}; there are {names_known}")
    differing = 0
    for path, known in captures.items():
        if not asked.names or path.stem in asked.names:
            differing += settle(path, events(path, known), check=asked.check)
    return int(differing > 0)


def settle(path: Path, found: list[Event], *, check: bool) -> bool:
    """Write a capture's events, or tell whether the committed ones are others."""
    whole = add_ja4(path, found)
    file = path.with_name(f"{path.stem}.expected.ndjson")
    if check:
        committed = [json.loads(line) for line in file.read_text().splitlines()]
        if not whole:
            for event in committed:
                event["hellowatch"].pop("ja4", None)
        others = committed != found
        print(f"{file.name}: {'the committed events are others' if others else 'the same'}")
        return others
    if not whole:
        raise SystemExit("ja4plus is not installed")
    file.write_text("".join(json.dumps(event) + "\n" for event in found))
    print(f"{file.name}: {len(found)} events", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
