"""Who a device is: put together from all that is known on this machine, each with its source."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sniffer.config import IdentifySettings, Place
from sniffer.identify.device_class import classify
from sniffer.identify.oui import Vendors
from sniffer.identify.place import Places


class Identity(NamedTuple):
    """Who a device is, as far as anything says so."""

    vendor: str | None = None
    device_class: str | None = None
    evidence: tuple[str, ...] = ()
    """What says that it is of this class, in words."""
    place: str | None = None
    owner: str | None = None
    """Of the place; somebody may have said otherwise of the device."""
    contact: str | None = None


class Roster:
    """Everything that tells who devices are; loaded once, and never changed."""

    def __init__(
        self, settings: IdentifySettings | None = None, places: Iterable[Place] = ()
    ) -> None:
        """Load what the settings name. Raises ConfigError."""
        self._vendors = Vendors((settings or IdentifySettings()).manuf)
        self._places = Places(places)

    def identify(
        self, address: bytes, mac: bytes | None, seen: Mapping[str, Iterable[str]]
    ) -> Identity:
        """Return who a device is.

        ``mac`` is its own, or None; ``seen``: texts by what they are read off, as
        ``device_class.By`` has it.
        """
        vendor = None if mac is None else self._vendors.of(mac)
        device_class, evidence = classify({**seen, "vendor": [vendor] if vendor else []})
        place = self._places.of(address)
        if place is None:
            return Identity(vendor, device_class, tuple(evidence))
        return Identity(
            vendor,
            device_class,
            tuple(evidence),
            place.name,
            place.owner or None,
            place.contact or None,
        )

    def vendor(self, mac: bytes | None) -> str | None:
        """Return who made a device with this MAC of its own."""
        return None if mac is None else self._vendors.of(mac)

    def place(self, address: bytes) -> str | None:
        """Return what the place of an address is called."""
        place = self._places.of(address)
        return None if place is None else place.name
