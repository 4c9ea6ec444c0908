"""Frames through a tracker, and what came out of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from craft import LINK_ETHERNET, Frame

from parsers.batch import NO_VLAN, Batch
from sniffer.config import DEFAULT_PORTS, Ports, TrackSettings, parse_ports
from sniffer.event import Dialogue, Handshake, Sighting
from sniffer.track.counters import Counters
from sniffer.track.discovery import Discovery
from sniffer.track.tracker import Tracker

KEY = bytes(range(16))
SMALL = TrackSettings(flows=1024, reassembly_bytes=1 << 20)
"""Budgets as small as the settings allow."""
ANY_PORT = parse_ports("any")


@dataclass
class Tracked:
    """What a tracker told of some frames."""

    handshakes: list[Handshake]
    counters: Counters
    dialogues: list[Dialogue]

    @property
    def only(self) -> Handshake:
        """The one handshake there is."""
        assert len(self.handshakes) == 1, self.handshakes
        return self.handshakes[0]

    def told(self) -> list[tuple[object, ...]]:
        """What must not depend on how the octets came: of each handshake, all but when."""
        return [
            (
                one.flow.source,
                one.flow.source_port,
                one.flow.destination,
                one.flow.destination_port,
                one.hello,
                one.server_hello,
                one.outcome,
                one.ended_by,
                one.refused_by,
                one.alert,
                one.alert_sender,
                one.octets,
            )
            for one in self.handshakes
        ]


def batch_of(frames: Sequence[Frame], link: int = LINK_ETHERNET, snaplen: int = 1 << 18) -> Batch:
    """Put frames into one batch, cut at ``snaplen``."""
    batch = Batch(max(1, len(frames)))
    batch.wire = memoryview(b"".join(octets[:snaplen] for _, octets in frames))
    at = 0
    for time_ns, octets in frames:
        end = at + min(len(octets), snaplen)
        batch.add(at, end, len(octets), time_ns, NO_VLAN, link)
        at = end
    return batch


def tracker(
    settings: TrackSettings = SMALL,
    ports: Ports = DEFAULT_PORTS,
    *,
    ordered: bool = True,
    behind_filter: bool = False,
) -> Tracker:
    """Make a tracker with a known key."""
    return Tracker(
        settings, ports, KEY, ordered=ordered, behind_filter=behind_filter, keep_octets=True
    )


class Wanted(frozenset[bytes]):
    """Names whose addresses are asked for."""

    @property
    def hints(self) -> tuple[bytes, ...]:
        """What each of them has in it, which says nothing where there is none."""
        return tuple(max(name.split(b"."), key=len) for name in sorted(self))


class Every(Wanted):
    """All names there are."""

    def __contains__(self, _: object) -> bool:
        """Ask for any name."""
        return True


def listener() -> Tracker:
    """Make a tracker that hears devices, and DNS servers on all names."""
    return Tracker(SMALL, DEFAULT_PORTS, KEY, discovery=Discovery(passive=True, wanted=Every()))


def listened(*frames: bytes) -> list[Sighting]:
    """Return what is said in frames a second apart."""
    one = listener()
    one.observe(batch_of([(n * 10**9, octets) for n, octets in enumerate(frames)]))
    assert one.counters().internal_errors == []
    return one.sightings()


def track(
    frames: Iterable[Frame],
    *,
    settings: TrackSettings = SMALL,
    ports: Ports = DEFAULT_PORTS,
    ordered: bool = True,
    snaplen: int = 1 << 18,
    behind_filter: bool = False,
) -> Tracked:
    """Run frames through a tracker to their end; nothing may be left in it, or go wrong."""
    one = tracker(settings, ports, ordered=ordered, behind_filter=behind_filter)
    one.observe(batch_of(list(frames), snaplen=snaplen))
    handshakes = one.ready()
    one.finish()
    handshakes += one.ready()
    dialogues = one.heard()
    counters = one.counters()
    assert counters.internal_errors == []
    assert one.open_count == 0
    assert counters.reassembly_bytes == 0
    assert one.reassembly.count == 0
    assert counters.hellos == len(handshakes)
    cut = sum(not handshake.hello.complete for handshake in handshakes)
    assert sum(counters.incomplete.values()) == cut
    return Tracked(handshakes, counters, dialogues)
