"""Which interfaces there are, and what is known of each without any privilege.

Names and numbers come from the kernel, for the network namespace we are in; the rest from
/sys/class/net, which may belong to another namespace: there a number has to fit first.
"""

import array
import fcntl
import socket
import struct
from pathlib import Path

from msgspec import Struct

SYSFS = Path("/sys/class/net")
IFF_UP = 0x1
IFF_PROMISC = 0x100

SIOCETHTOOL = 0x8946
ETHTOOL_GTSO = 0x1E
ETHTOOL_GGSO = 0x23
ETHTOOL_GFLAGS = 0x25
ETHTOOL_GGRO = 0x2B
ETH_FLAG_LRO = 1 << 15
"""Source: linux/ethtool.h; asking needs no privilege."""

ERROR_COUNTERS = (
    "rx_errors",
    "rx_dropped",
    "rx_missed_errors",
    "rx_fifo_errors",
    "rx_over_errors",
    "rx_length_errors",
    "rx_crc_errors",
    "rx_frame_errors",
)
"""What a card lost or refused; Documentation/networking/statistics.rst tells them apart."""

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


class Offloads(Struct, frozen=True, kw_only=True):
    """What an interface leaves to its card or driver; None: it does not tell."""

    gro: bool | None = None
    lro: bool | None = None
    """Received segments are joined into larger ones."""
    gso: bool | None = None
    tso: bool | None = None
    """Segments to send are split later than we see them."""

    @property
    def joining(self) -> tuple[str, ...]:
        """Names of those that join received segments, and are on."""
        return tuple(name for name in ("gro", "lro") if getattr(self, name))


def interfaces(sysfs: Path = SYSFS) -> list[Interface]:
    """Return the interfaces of this network namespace by their number."""
    return [_interface(name, index, sysfs) for index, name in sorted(socket.if_nameindex())]


def names() -> list[str]:
    """Return the interfaces' names by their number, for messages."""
    return [name for _, name in sorted(socket.if_nameindex())]


def interface(name: str, sysfs: Path = SYSFS) -> Interface:
    """Return one interface by its name; raises OSError where there is none."""
    return _interface(name, socket.if_nametoindex(name), sysfs)


def mac_of(name: str, sysfs: Path = SYSFS) -> bytes:
    """Return an interface's own address, empty where it has none or is not there."""
    text = _text(sysfs / name, "address") or ""
    return bytes.fromhex(text.replace(":", ""))


def offloads(name: str) -> Offloads:
    """Return what an interface leaves to its card or driver."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        flags = _ask(asking, name, ETHTOOL_GFLAGS)
        gro, gso, tso = (
            _ask(asking, name, command) for command in (ETHTOOL_GGRO, ETHTOOL_GGSO, ETHTOOL_GTSO)
        )
    return Offloads(
        gro=None if gro is None else bool(gro),
        lro=None if flags is None else bool(flags & ETH_FLAG_LRO),
        gso=None if gso is None else bool(gso),
        tso=None if tso is None else bool(tso),
    )


def error_counters(name: str, sysfs: Path = SYSFS) -> dict[str, int]:
    """Return what an interface has lost or refused since it was made, by the kernel's words."""
    folder = sysfs / name / "statistics"
    return {counter: _number(folder, counter) or 0 for counter in ERROR_COUNTERS}


def _ask(asking: socket.socket, name: str, command: int) -> int | None:
    """Return the value an interface gives for a command of ethtool; None: it knows no such."""
    value = array.array("I", (command, 0))
    address, _ = value.buffer_info()
    request = struct.pack("16sP16x", name.encode(), address)
    try:
        fcntl.ioctl(asking, SIOCETHTOOL, request)
    except OSError:
        return None
    return value[1]


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
