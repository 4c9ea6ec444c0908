"""The readiness report: will anything stop working, what, when, and what is to be done.

Three readers: the manager reads how many, where and by when, without a technical word; the
technician each device with its evidence; the owner of devices what to do about his own.
Without a reader named, the manager's page comes first and the technician's follow.

What is listed is gone through once and waits on disk, the most urgent first, so that a
hundred thousand devices take no more memory than a hundred. The same facts give the same
bytes: the only time in a report is that of the newest frame.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, BinaryIO, NamedTuple

import msgspec

from sniffer.event import Status
from sniffer.export import words
from sniffer.export.formats import defused, summary_json
from sniffer.export.markup import environment
from sniffer.export.readiness import Counts, Readiness, place_of, readiness

AUDIENCES = ("manager", "technician", "owner")
FORMATS = ("html", "csv", "json", "markdown")

UNLISTED = (Status.OK,)
"""Devices about which there is nothing to say; they are counted."""
SPOOLED_BYTES = 4 << 20
"""Listed devices of one status that are held in memory; more wait on disk."""
NOWHERE = "no place given"
NOBODY = "nobody named"

Json = dict[str, Any]


class Subject(NamedTuple):
    """What a report is about."""

    devices: Iterable[Json]
    """As the summary or the store lists them; with ``history`` where there is one."""
    coverage: Mapping[str, Any]
    titles: Mapping[str, str]
    """What providers are called, by the profile's name."""
    now: str | None
    """Time of the newest frame."""
    changes: Iterable[Json] = ()
    """What became of devices since ``since``, as ``devices diff`` tells it."""
    since: str | None = None
    findings: Iterable[Json] = ()


def subject_of(summary: Mapping[str, Any]) -> Subject:
    """Return a summary of captures as what a report is about."""
    return Subject(
        devices=summary["devices"],
        coverage=summary["coverage"],
        titles={name: profile["title"] for name, profile in summary["profile"].items()},
        now=summary["coverage"]["last_seen"],
        findings=summary["findings"],
    )


class Date(NamedTuple):
    """When a provider refuses what devices offer it."""

    provider: str
    services: tuple[str, ...]
    start: str | None
    until: str | None
    days: int | None
    """From the newest frame to the end; below 0: it is over."""
    devices: int
    source: str | None


class Place(NamedTuple):
    """A place, or an owner, with its devices counted."""

    name: str
    counts: Counts


class Report:
    """A subject gone through: counts, and the listed devices by urgency."""

    def __init__(self, subject: Subject, stack: ExitStack) -> None:
        """Go through all devices; ``stack`` ends what is kept meanwhile."""
        self.coverage = subject.coverage
        self.now = subject.now
        self.since = subject.since
        self.findings = list(subject.findings)
        self._titles = subject.titles
        self._spools: dict[Status, tempfile.SpooledTemporaryFile[bytes]] = {}
        self._stack = stack
        self._places: dict[str, list[int]] = {}
        self._owners: dict[str, list[int]] = {}
        self._dates: dict[tuple[str, str | None, str | None, str | None], _Due] = {}
        counts = _nothing()
        self.statuses: dict[Status, int] = {}
        for device in subject.devices:
            status = Status(device["status"])
            self.statuses[status] = self.statuses.get(status, 0) + 1
            for told in (
                counts,
                self._places.setdefault(device["place"] or NOWHERE, _nothing()),
                self._owners.setdefault(device["owner"] or NOBODY, _nothing()),
            ):
                told[0] += 1
                at = place_of(device)
                if at:
                    told[at] += 1
            if status not in UNLISTED:
                self._note_dates(device)
                self._keep(status, device)
        self.counts = Counts(*counts)
        self.changes: dict[str, int] = {}
        for change in subject.changes:
            word = change["change"]
            self.changes[word] = self.changes.get(word, 0) + 1

    @property
    def readiness(self) -> Readiness:
        """Return whether old TLS may be switched off."""
        return readiness(self.counts, self.coverage)

    @property
    def dates(self) -> list[Date]:
        """Return when which provider refuses what was offered, the nearest end first."""
        told = []
        for (provider, start, until, source), due in self._dates.items():
            days = None
            if until is not None and self.now is not None:
                days = words.days_between(self.now[:10], until)
            services = tuple(sorted(due.services))
            title = self._titles.get(provider, provider)
            told.append(Date(title, services, start, until, days, len(due.devices), source))
        return sorted(told, key=lambda date: (date.until or "9999", date.provider, date.services))

    @property
    def places(self) -> list[Place]:
        """Return the places with devices to look at, the most of them first."""
        return _sorted(self._places)

    @property
    def owners(self) -> list[Place]:
        """Return the owners with devices to look at, the most of them first."""
        return _sorted(self._owners)

    @property
    def listed(self) -> int:
        """Return how many devices are listed."""
        return self.counts.all - sum(self.statuses.get(status, 0) for status in UNLISTED)

    def devices(self) -> Iterator[Json]:
        """Yield the listed devices, the most urgent first; may be asked again."""
        for status in words.MOST_URGENT:
            spool = self._spools.get(status)
            if spool is not None:
                spool.seek(0)
                for line in spool:
                    yield msgspec.json.decode(line)

    def devices_of(self, owner: str) -> Iterator[Json]:
        """Yield the listed devices of an owner."""
        return (device for device in self.devices() if (device["owner"] or NOBODY) == owner)

    def _keep(self, status: Status, device: Json) -> None:
        spool = self._spools.get(status)
        if spool is None:
            made = tempfile.SpooledTemporaryFile(SPOOLED_BYTES)  # noqa: SIM115 (the stack closes it)
            spool = self._spools[status] = self._stack.enter_context(made)
        spool.write(msgspec.json.encode(device) + b"\n")

    def _note_dates(self, device: Json) -> None:
        for stack in device["stacks"]:
            for prospect in stack.get("simulation", ()):
                breaks = prospect["breaks"]
                if device["will_break"] and breaks and (breaks["from"] or breaks["until"]):
                    key = (
                        prospect["destination"],
                        breaks["from"],
                        breaks["until"],
                        breaks["source"],
                    )
                    due = self._dates.setdefault(key, _Due(set(), set()))
                    due.services.add(prospect["service"])
                    due.devices.add(device["id"])


def _nothing() -> list[int]:
    return [0] * len(Counts._fields)


class _Due(NamedTuple):
    services: set[str]
    devices: set[str]


def _sorted(counted: Mapping[str, list[int]]) -> list[Place]:
    told = [Place(name, Counts(*counts)) for name, counts in counted.items() if any(counts[1:])]
    return sorted(told, key=lambda one: (-one.counts.refused - one.counts.breaking, one.name))


# -- forms ---------------------------------------------------------------------------------


def write_html(report: Report, audience: str | None, out: BinaryIO) -> None:
    """Write one HTML document that needs nothing else, piece by piece."""
    _write_template("report.html", report, audience, out)


def write_markdown(report: Report, audience: str | None, out: BinaryIO) -> None:
    """Write the same for a ticket or a wiki."""
    _write_template("report.md", report, audience, out)


def write_csv(report: Report, _audience: str | None, out: BinaryIO) -> None:
    """Write the listed devices, one a row."""
    from sniffer.export.stored import DEVICE_COLUMNS, device_cells

    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(DEVICE_COLUMNS)
    for device in report.devices():
        writer.writerow([defused(cell) for cell in device_cells(device).values()])
    text.detach()


def write_json(report: Report, audience: str | None, out: BinaryIO) -> None:
    """Write counts, dates and the listed devices as one document."""
    ready = report.readiness
    told = {
        "for": audience,
        "as_of": report.now,
        "ready": ready.is_ready,
        "because": ready.because,
        "counts": report.counts._asdict(),
        "statuses": {status.value: number for status, number in report.statuses.items()},
        "dates": [date._asdict() for date in report.dates],
        "places": [_place_json(place) for place in report.places],
        "owners": [_place_json(owner) for owner in report.owners],
        "since": report.since,
        "changes": report.changes,
        "findings": report.findings,
        "coverage": dict(report.coverage),
    }
    out.write(b'{\n  "report": ' + _indented(told) + b',\n  "devices": [')
    before = b"\n    "
    for device in report.devices():
        out.write(before + _indented(device, b"    "))
        before = b",\n    "
    out.write(b"\n  ]\n}\n")


WRITERS: Mapping[str, Callable[[Report, str | None, BinaryIO], None]] = {
    "html": write_html,
    "csv": write_csv,
    "json": write_json,
    "markdown": write_markdown,
}


def _place_json(place: Place) -> Json:
    return {"name": place.name, **place.counts._asdict()}


def _indented(told: object, by: bytes = b"  ") -> bytes:
    lines = summary_json(told)  # type: ignore[arg-type]  # any mapping will do
    return lines.rstrip(b"\n").replace(b"\n", b"\n" + by)


def _write_template(name: str, report: Report, audience: str | None, out: BinaryIO) -> None:
    pieces = (
        environment()
        .get_template(name)
        .stream(
            report=report,
            audience=audience,
            parts_of=_parts_of(audience),
        )
    )
    pieces.enable_buffering(64)
    for piece in pieces:
        out.write(piece.encode("utf-8", "replace"))


def _parts_of(audience: str | None) -> tuple[str, ...]:
    """Return what is in a report: the manager's part and the technician's, if none is named."""
    return ("manager", "technician") if audience is None else (audience,)
