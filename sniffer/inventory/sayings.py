"""What devices call themselves and say of themselves, wherever it was said.

Kept by subject: an address (4 or 16 octets) or a MAC (6), also of those that never sent a
hello, because most say who they are before they fetch mail. Everything merges: times are
minima and maxima, and of what is bounded the lowest keys are kept, so that order does not
matter. Where there is no room for all, strangers go before devices.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sniffer.event import Fact, Sighting
from sniffer.inventory.device import LONGEST_NAME

NAME = "name"
ADDRESS = "address"
"""Said of a MAC: an address that it holds, as octets."""

MOST_ROWS = 65_536
"""Sayings kept of all subjects together."""

MOST_MACS = 65_536
"""MACs of devices remembered."""
MAC_OCTETS = 6

FIRST, LAST, NEWS = range(3)
"""Of a row: two times, and whether ``drain`` has not told it yet."""

_Rows = dict[bytes, list[int]]


class Saying(NamedTuple):
    """One thing that was said of a device."""

    source: str
    """Where: a word of ``event.SightingSource``, or of what else names devices."""
    what: str
    """``name``, or the word of a fact."""
    text: bytes
    first_ns: int
    last_ns: int


def names_first(saying: Saying) -> tuple[bool, str, str, bytes]:
    """Return what sayings are sorted by."""
    return saying.what != NAME, saying.what, saying.source, saying.text


class Sayings:
    """All that was said, the subjects least recently heard of first."""

    def __init__(
        self, most: int, is_device: Callable[[bytes], bool], most_rows: int = MOST_ROWS
    ) -> None:
        """Begin empty; keep ``most`` sayings of a subject.

        ``is_device`` tells of an address whether a device is known there.
        """
        self.most = most
        self.let_go = 0
        """Sayings that found no room."""
        self._most_rows = most_rows
        self._count = 0
        self._devices: OrderedDict[bytes, _Rows] = OrderedDict()
        self._strangers: OrderedDict[bytes, _Rows] = OrderedDict()
        self._is_device = is_device
        self._macs: dict[bytes, None] = {}
        self._news: dict[bytes, None] = {}

    def observe(self, sighting: Sighting) -> None:
        """Take in what one message says."""
        said = [(what, text) for what, text in sighting.facts if what != Fact.MESSAGE]
        if sighting.name is not None:
            said.append((NAME, sighting.name))
        address, mac, source = sighting.address, sighting.mac, sighting.source.value
        for subject in (address, mac):
            if subject is not None:
                for what, text in said:
                    self._add(subject, _key(source, what, text), sighting.time_ns)
        if mac is not None and address is not None:
            self._add(mac, _key(source, ADDRESS, address), sighting.time_ns)

    def know(self, address: bytes) -> None:
        """Note that an address is a device now."""
        self._befriend(address)

    def know_mac(self, mac: bytes) -> None:
        """Note that a MAC is one of a device."""
        if mac not in self._macs:
            if len(self._macs) >= MOST_MACS:
                del self._macs[next(iter(self._macs))]
            self._macs[mac] = None
            self._befriend(mac)

    def _befriend(self, subject: bytes) -> None:
        rows = self._strangers.pop(subject, None)
        if rows is not None:
            self._devices[subject] = rows
            self._news[subject] = None

    def estrange(self, address: bytes) -> None:
        """Note that an address is no device any more."""
        self._news.pop(address, None)
        rows = self._devices.pop(address, None)
        if rows is not None:
            self._strangers[address] = rows

    def of(self, address: bytes, mac: bytes | None) -> tuple[Saying, ...]:
        """Return what was said of a device, names first; ``mac`` None: it is not its own."""
        told: dict[bytes, list[int]] = {key: list(row) for key, row in self._rows(address)}
        if mac is not None and self._may_be(mac, address):
            for key, row in self._rows(mac):
                _widen(told, key, row[FIRST], row[LAST])
        sayings = [_saying(key, row) for key, row in sorted(told.items())]
        return tuple(saying for saying in sayings if saying.what != ADDRESS)

    def addresses(self, mac: bytes) -> tuple[Saying, ...]:
        """Return the addresses that a MAC was said to hold."""
        sayings = [_saying(key, row) for key, row in sorted(self._rows(mac))]
        return tuple(saying for saying in sayings if saying.what == ADDRESS)

    def drain(
        self, holders: Callable[[Iterable[bytes]], Iterable[tuple[bytes, bytes]]]
    ) -> tuple[tuple[bytes, Saying], ...]:
        """Return what is new of devices since the last time, each with the device's address.

        ``holders`` yields MAC and address of the devices that have one of some MACs for
        themselves.
        """
        if not self._news:
            return ()
        owned: dict[bytes, list[bytes]] = {}
        for mac, address in holders(
            [subject for subject in self._news if len(subject) == MAC_OCTETS]
        ):
            owned.setdefault(mac, []).append(address)
        told = []
        for subject in self._news:
            owners = owned.get(subject, []) if len(subject) == MAC_OCTETS else [subject]
            for key, row in self._rows(subject):
                saying = _saying(key, row)
                if row[NEWS] and owners and saying.what != ADDRESS:
                    told += [(owner, saying) for owner in owners if self._may_be(subject, owner)]
                row[NEWS] = 0
        self._news.clear()
        return tuple(sorted(told))

    def merge(self, other: "Sayings") -> None:
        """Add what another time range or input has heard. Whom it knew is told apart."""
        self.let_go += other.let_go
        for subjects in (other._devices, other._strangers):
            for subject, rows in subjects.items():
                for key, row in rows.items():
                    self._add(subject, key, row[FIRST])
                    self._add(subject, key, row[LAST])

    def _rows(self, subject: bytes) -> Iterator[tuple[bytes, list[int]]]:
        rows = self._devices.get(subject) or self._strangers.get(subject) or {}
        yield from rows.items()

    def _may_be(self, mac: bytes, address: bytes) -> bool:
        """Tell whether a MAC was not said to hold another address of the same kind."""
        if mac == address:
            return True
        held = {saying.text for saying in self.addresses(mac) if len(saying.text) == len(address)}
        return len(address) != 4 or not held or address in held

    def _add(self, subject: bytes, key: bytes, time_ns: int) -> None:
        subjects = self._place(subject)
        rows = subjects.get(subject)
        if rows is None:
            rows = subjects[subject] = {}
        subjects.move_to_end(subject)
        before = len(rows)
        row = _widen(rows, key, time_ns, time_ns)
        if time_ns in (row[FIRST], row[LAST]):
            row[NEWS] = 1
            if subjects is self._devices:
                self._news[subject] = None
        if len(rows) > self.most:
            del rows[max(rows)]
            self.let_go += 1
        self._count += len(rows) - before
        while self._count > self._most_rows:
            self._make_room()

    def _place(self, subject: bytes) -> OrderedDict[bytes, _Rows]:
        """Return where the rows of a subject are, or belong."""
        for subjects in (self._devices, self._strangers):
            if subject in subjects:
                return subjects
        known = subject in self._macs if len(subject) == MAC_OCTETS else self._is_device(subject)
        return self._devices if known else self._strangers

    def _make_room(self) -> None:
        subjects = self._strangers or self._devices
        subject, rows = subjects.popitem(last=False)
        self._news.pop(subject, None)
        self._count -= len(rows)
        self.let_go += len(rows)


def _key(source: str, what: str, text: bytes) -> bytes:
    """Return the octets that stand for a saying; names sort first."""
    return b"%c%b\0%b\0%b" % (what != NAME, what.encode(), source.encode(), text[:LONGEST_NAME])


def _saying(key: bytes, row: list[int]) -> Saying:
    what, source, text = key[1:].split(b"\0", 2)
    return Saying(source.decode(), what.decode(), text, row[FIRST], row[LAST])


def _widen(rows: _Rows, key: bytes, first_ns: int, last_ns: int) -> list[int]:
    """Let the row of a key, new or old, reach from one time to another."""
    row = rows.get(key)
    if row is None:
        row = rows[key] = [first_ns, last_ns, 0]
    else:
        row[FIRST] = min(row[FIRST], first_ns)
        row[LAST] = max(row[LAST], last_ns)
    return row
