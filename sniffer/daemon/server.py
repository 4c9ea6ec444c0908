"""The serving side: the aggregate, and the metrics page over it.

Whoever counts holds ``lock``; a scrape takes it for as long as it copies the figures.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from sniffer.config import Settings
from sniffer.daemon.listener import Listener
from sniffer.export.metrics import Build, Interface, Metrics, Picture, registry
from sniffer.identify.identity import Roster
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.judge.profile import Profile
from sniffer.judge.verdict import Judge

if TYPE_CHECKING:
    from sniffer.inventory.store.recorder import Recorder


class Gauges(Struct, frozen=True):
    """What one input or interface is at, beside what it counted."""

    coverage: Coverage
    is_up: bool
    flows: int
    reassembly_bytes: int
    watched_seconds: float | None = None
    """How long it could be captured on; None: from the first frame to the newest."""
    unreported: int = 0
    """Hellos that were found and never judged."""
    unheard: int = 0
    """Dialogues in clear that were read and never judged."""
    unsighted: int = 0
    """What was said of devices, was read and never told."""


class Server:
    """A judge, an aggregate and their metrics page. ``watch`` names what feeds it."""

    def __init__(
        self,
        settings: Settings,
        profiles: Mapping[str, Profile],
        build: Build,
        forced: Profile | None = None,
    ) -> None:
        """Begin with an empty aggregate; nothing is served before ``start``."""
        ports = settings.ports
        self.lock = threading.Lock()
        self.judge = Judge(ports, profiles, forced, settings.relay)
        self.aggregate = Aggregate(
            settings.inventory, ports, profiles, settings.metrics.device_series
        )
        self.is_ready = False
        self._recorder: Recorder | None = None
        self._watched: dict[str, Callable[[], Gauges]] = {}
        self.roster = Roster(settings.identify, settings.place)
        self._metrics = Metrics(self.picture, ports, profiles, build, self.roster)
        self._listener = Listener(settings.web, registry(self._metrics), lambda: self.is_ready)

    def use(
        self, settings: Settings, profiles: Mapping[str, Profile], forced: Profile | None
    ) -> None:
        """Go on with other settings; nothing that was counted is lost."""
        ports, series = settings.ports, settings.metrics.device_series
        roster = Roster(settings.identify, settings.place)
        with self.lock:
            self.judge.use(ports, profiles, forced, settings.relay)
            self.aggregate.use(settings.inventory, ports, profiles, series)
            self._metrics.use(ports, profiles, roster)
            self.roster = roster
        self._listener.use(settings.web)

    def watch(self, name: str, gauges: Callable[[], Gauges]) -> None:
        """Show an input or interface; ``gauges`` is called with the lock held."""
        with self.lock:
            self._watched[name] = gauges

    def keep(self, recorder: "Recorder") -> None:
        """Show what takes the counts into a store."""
        self._recorder = recorder

    def start(self) -> str:
        """Serve the page and return its address. Raises ConfigError."""
        self._listener.start()
        return self._listener.url

    def close(self) -> None:
        """Stop serving."""
        self._listener.close()

    def picture(self) -> Picture:
        """Return everything the page shows, of one moment."""
        with self.lock:
            gauges = {name: take() for name, take in self._watched.items()}
            return Picture(
                figures=self.aggregate.figures(),
                interfaces=tuple(
                    Interface(
                        name=name,
                        is_up=now.is_up,
                        coverage=now.coverage,
                        watched_seconds=now.watched_seconds,
                    )
                    for name, now in gauges.items()
                ),
                flows=sum(now.flows for now in gauges.values()),
                reassembly_bytes=sum(now.reassembly_bytes for now in gauges.values()),
                hellos_unreported=sum(now.unreported for now in gauges.values()),
                ladders_evicted=self.judge.ladders_evicted,
                dialogues_unreported=sum(now.unheard for now in gauges.values()),
                sightings_unreported=sum(now.unsighted for now in gauges.values()),
                store=None if self._recorder is None else self._recorder.figures(),
            )
