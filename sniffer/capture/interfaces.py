"""Which interfaces there are, and what is known of each without any privilege.

Names and numbers come from the kernel, for the network namespace we are in; the rest from
/sys/class/net, which may belong to another namespace: there a number has to fit first.
"""

import socket
from pathlib import Path

from msgspec import Struct

SYSFS = Path("/sys/class/net")
IFF_UP = 0x1
IFF_PROMISC = 0x100

ANY = "any"
"""tcpdump's word for all interfaces at once."""


class Interface(Struct, frozen=True, kw_only=True):
    """One interface; what is not known is None."""

    name: str
    index: int
    link_type: int | None = None
    """The kernel's ARPHRD number: 1 Ethernet, 772 loopback, 65534 none."""
    is_up: bool | None = None
    has_carrier: bool | None = None
    """None while it is down, too."""
    state: str | None = None
    """The operational state of RFC 2863: up, down, lowerlayerdown, dormant, unknown ..."""
    speed_mbps: int | None = None
    duplex: str | None = None
    mac: str | None = None
    mtu: int | None = None
    is_promiscuous: bool | None = None
    driver: str | None = None


def interfaces(sysfs: Path = SYSFS) -> list[Interface]:
    """Return the interfaces of this network namespace by their number."""
    return [_interface(name, index, sysfs) for index, name in sorted(socket.if_nameindex())]


def names() -> list[str]:
    """Return the interfaces' names by their number, for messages."""
    return [name for _, name in sorted(socket.if_nameindex())]


def _interface(name: str, index: int, sysfs: Path) -> Interface:
    folder = sysfs / name
    if _number(folder, "ifindex") != index:
        return Interface(name=name, index=index)
    flags = _number(folder, "flags")
    carrier = _number(folder, "carrier")
    speed = _number(folder, "speed")
    driver = folder / "device" / "driver"
    return Interface(
        name=name,
        index=index,
        link_type=_number(folder, "type"),
        is_up=None if flags is None else bool(flags & IFF_UP),
        has_carrier=None if carrier is None else carrier == 1,
        state=_text(folder, "operstate"),
        # A port without a partner says -1.
        speed_mbps=speed if speed is not None and speed > 0 else None,
        duplex=_text(folder, "duplex"),
        mac=_text(folder, "address"),
        mtu=_number(folder, "mtu"),
        is_promiscuous=None if flags is None else bool(flags & IFF_PROMISC),
        driver=driver.resolve().name if driver.exists() else None,
    )


def _text(folder: Path, name: str) -> str | None:
    try:
        text = (folder / name).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        # No such attribute, or one that answers only while the interface is up.
        return None
    return text or None


def _number(folder: Path, name: str) -> int | None:
    text = _text(folder, name)
    try:
        return None if text is None else int(text, 0)
    except ValueError:
        return None
