"""A store with a writer of it, and what is read back: for tests of what is kept."""

import itertools
from collections.abc import Sequence

import sqlalchemy as sa
from handshakes import SECOND_NS, START_NS, handshake, hello, judgement

from parsers.tls.facts import TLS_1_2
from sniffer.config import DEFAULT_PORTS, StoreSettings
from sniffer.event import Outcome, Side, Verdict
from sniffer.export.ecs import encode
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.delta import Delta, Judged, Watched
from sniffer.inventory.store import schema
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.reader import Reader
from sniffer.inventory.store.writer import Writer
from sniffer.judge.profile import load_profiles

PROFILES = load_profiles()
HOUR_NS = 3600 * SECOND_NS
OK = judgement(Verdict.OK)
LEGACY = judgement(Verdict.LEGACY)
TLS12 = hello(TLS_1_2)
REFUSED = {"outcome": Outcome.ALERT, "refused_by": Side.SERVER}


class Store:
    """A store, a writer of it, and what is read back."""

    def __init__(self, url: str, **settings: int) -> None:
        self.database = Database(url)
        self.database.open(check=True)
        self.settings = StoreSettings(**settings)
        self.numbers = itertools.count(1)
        self.writer = self.another("one")

    def another(self, name: str, site: str = "") -> Writer:
        return Writer(
            self.database, name, DEFAULT_PORTS, PROFILES, encode, site=site, settings=self.settings
        )

    def add(self, *judged: Judged, now_ns: int | None = None) -> None:
        assert self.writer.apply(self.delta(*judged, now_ns=now_ns))

    def delta(self, *judged: Judged, now_ns: int | None = None) -> Delta:
        newest = max([one.time_ns for one, _ in judged], default=START_NS)
        return Delta(number=next(self.numbers), now_ns=now_ns or newest, judged=judged)

    def watch(self, start_ns: int, end_ns: int, sensor: str = "eth0", **seen: int) -> None:
        watched = Watched(
            sensor=sensor,
            start_ns=start_ns,
            end_ns=end_ns,
            seconds=(end_ns - start_ns) / 1e9,
            coverage=Coverage(frames=10, first_ns=start_ns, last_ns=end_ns, **seen),
        )
        delta = Delta(number=next(self.numbers), now_ns=end_ns, watched=(watched,))
        assert self.writer.apply(delta)

    def reader(self, as_of_ns: int | None = None) -> Reader:
        return Reader(self.database, DEFAULT_PORTS, as_of_ns)

    def rows(self, table: sa.Table) -> Sequence[sa.Row]:
        with self.database.read() as connection:
            return connection.execute(sa.select(table)).all()

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Return everything but who wrote it."""
        return {
            table.name: sorted(map(tuple, self.rows(table)), key=repr)
            for table in schema.metadata.sorted_tables
            if table.name not in ("writer", "state", "input", "seen", "epoch")
        }

    @property
    def only_device(self):
        (device,) = self.reader().devices()
        return device


def at(seconds: float, number: int = 1, **facts) -> Judged:
    """A handshake so many seconds after noon; by default legacy at Exchange Online."""
    verdict = facts.pop("judged", LEGACY)
    return handshake(START_NS + int(seconds * SECOND_NS), frame=number, **facts), verdict
