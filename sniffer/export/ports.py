"""The interfaces of this machine as plain values for JSON, and as a table for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from sniffer.capture.interfaces import Interface
from sniffer.capture.rtnetlink import Link, Traffic
from sniffer.log import one_line

Json = dict[str, Any]

ARPHRD_LOOPBACK = 772


class Heard(Struct, frozen=True, kw_only=True):
    """What was heard on an interface for a while."""

    seconds: float
    frames: int
    dropped: int
    unicast: int
    """Frames to one station."""
    foreign: int
    """Of those: neither from us nor to us; what a mirror port is about."""
    to_server: int
    from_server: int
    """Mail segments, to and from servers."""
    mail_ports: Mapping[int, int]
    """Mail segments by the server's port."""
    vlans: Sequence[int]


def port_json(
    interface: Interface, links: Mapping[int, Link], names: Mapping[int, str], heard: Heard | None
) -> Json:
    """Return what is known of one interface; an unknown value is None, never missing."""
    link = links.get(interface.index)
    promiscuous = interface.is_promiscuous
    if link is not None and link.promiscuity is not None:
        promiscuous = link.promiscuity > 0
    return {
        "name": interface.name,
        "index": interface.index,
        "kind": _kind(interface, link),
        "up": interface.is_up,
        "carrier": interface.has_carrier,
        "state": interface.state,
        "speed_mbps": interface.speed_mbps,
        "duplex": interface.duplex,
        "driver": interface.driver,
        "mtu": interface.mtu,
        "mac": interface.mac,
        "promiscuous": promiscuous,
        "addresses": None if link is None else link.addresses,
        "parent": None if link is None or link.parent is None else names.get(link.parent),
        "master": None if link is None or link.master is None else names.get(link.master),
        "vlan_id": None if link is None else link.vlan_id,
        "received": None if link is None else _traffic(link.received),
        "sent": None if link is None else _traffic(link.sent),
        "heard": None if heard is None else _heard(heard),
    }


def ports_table(ports: Iterable[Json]) -> str:
    """Return the interfaces as lines for people, what was heard below each."""
    head = ("NAME", "KIND", "STATE", "SPEED", "DRIVER", "MTU", "MAC", "RECEIVED", "ABOUT")
    rows: list[tuple[str, ...]] = [head]
    heard: list[str] = [""]
    for port in ports:
        rows.append(_row(port))
        heard.append("" if port["heard"] is None else _sentence(port["heard"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row, sentence in zip(rows, heard, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
        if sentence:
            lines.append(f"    {sentence}")
    return "".join(f"{line}\n" for line in lines)


def _kind(interface: Interface, link: Link | None) -> str | None:
    if interface.link_type == ARPHRD_LOOPBACK:
        return "loopback"
    if link is not None and link.kind is not None:
        return link.kind
    return "physical" if interface.driver is not None else None


def _traffic(traffic: Traffic | None) -> Json | None:
    if traffic is None:
        return None
    return {
        "frames": traffic.frames,
        "bytes": traffic.bytes,
        "errors": traffic.errors,
        "dropped": traffic.dropped,
    }


def _heard(heard: Heard) -> Json:
    mail = heard.to_server + heard.from_server
    by_port = {str(port): heard.mail_ports[port] for port in sorted(heard.mail_ports)}
    return {
        "seconds": round(heard.seconds, 3),
        "frames": heard.frames,
        "frames_per_second": round(heard.frames / heard.seconds, 1) if heard.seconds else 0.0,
        "dropped": heard.dropped,
        "unicast": heard.unicast,
        "foreign_unicast": heard.foreign,
        "mail_frames": mail,
        "mail_frames_by_port": by_port,
        "to_server": heard.to_server,
        "from_server": heard.from_server,
        "both_directions": heard.to_server > 0 and heard.from_server > 0 if mail else None,
        "vlans": sorted(vlan for vlan in heard.vlans if vlan >= 0),
    }


def _row(port: Json) -> tuple[str, ...]:
    state = port["state"] or "unknown"
    if port["up"] and port["carrier"] is False:
        state = "no link"
    speed = "" if port["speed_mbps"] is None else f"{port['speed_mbps']} Mb/s"
    about = list(port["addresses"] or ())
    if port["vlan_id"] is not None:
        about.append(f"VLAN {port['vlan_id']} of {port['parent']}")
    if port["master"] is not None:
        about.append(f"part of {port['master']}")
    if port["promiscuous"]:
        about.append("promiscuous")
    if port["addresses"] == [] and port["kind"] != "loopback":
        about.insert(0, "no address")
    cells = (
        port["name"],
        port["kind"] or "",
        state,
        speed,
        port["driver"] or "",
        "" if port["mtu"] is None else str(port["mtu"]),
        port["mac"] or "",
        "" if port["received"] is None else f"{port['received']['frames']} frames",
        ", ".join(about),
    )
    return tuple(one_line(cell) for cell in cells)


def _sentence(heard: Json) -> str:
    told = [f"{heard['frames']} frames in {heard['seconds']:g} s ({heard['frames_per_second']}/s)"]
    if heard["dropped"]:
        told.append(f"{heard['dropped']} dropped")
    told.append(f"{heard['foreign_unicast']} between others")
    if heard["mail_frames"]:
        by_port = heard["mail_frames_by_port"].items()
        listed = ", ".join(f"{count} of port {port}" for port, count in by_port)
        ways = "both directions" if heard["both_directions"] else "ONE DIRECTION ONLY"
        told.append(f"mail: {listed}, {ways}")
    else:
        told.append("no mail")
    if heard["vlans"]:
        told.append(f"VLANs {', '.join(map(str, heard['vlans']))}")
    return "; ".join(told)
