"""The tables. What makes and changes them are the migrations; a test compares the two.

Times are nanoseconds since 1970 of the capture's clock. Facts are JSON: what is merged in
Python is stored as one text, what is asked for by SQL has a column.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

VERSION = "0008"
"""The newest migration."""

metadata = MetaData()

NEVER_NS = -(1 << 62)
"""Earlier than any frame: stands where SQL has to compare a time that is not known."""

HALF_ID = BigInteger().with_variant(Integer, "sqlite")
"""In SQLite the row's own number, which saves an index."""

state = Table(
    "state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("now_ns", BigInteger),
    Column("batches", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
)
"""One row: the newest frame time covered, how many batches came, how many hellos were lost."""

writer = Table(
    "writer",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
"""The last batch that each writer has brought: bringing it again changes nothing."""

seen = Table(
    "seen",
    metadata,
    Column("id", HALF_ID, primary_key=True, autoincrement=False),
    Column("batch", BigInteger, nullable=False),
)
"""Half of the id of each handshake counted, so that an overlap counts once."""

epoch = Table(
    "epoch",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("batch", BigInteger, nullable=False),
)
"""With which batch each day began, counted from 1970, by the clock on the wall."""

input_read = Table(
    "input",
    metadata,
    Column("reading", Text, primary_key=True),
    Column("site", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("tail", LargeBinary, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("is_done", Boolean, nullable=False),
    Index("input_by_head", "head"),
)
"""Capture files, as ``inventory.delta.Mark`` knows them."""

device = Table(
    "device",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site", Text, nullable=False),
    Column("address", LargeBinary, nullable=False),
    Column("ip", Text, nullable=False),
    Column("mac", Text),
    Column("is_telling", Boolean, nullable=False),
    Column("hellos", BigInteger, nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Column("facts", Text, nullable=False),
    Index("device_by_address", "site", "address", unique=True),
    Index("device_by_mac", "mac"),
)
"""``address`` is its length, then its octets: in that order people read it."""

stack = Table(
    "stack",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    Column("shape", Text, nullable=False),
    Column("hello", Text),
    Column("exhibit", Text),
)
"""The hello shapes of telling devices, each with one whole hello as evidence: as it was parsed,
and, where it is or may be refused, as it stood on the wire (see ``exhibits``)."""

activity = Table(
    "activity",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("start_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("span", Text, primary_key=True),
    Column("stack", Integer, primary_key=True, autoincrement=False),
    Column("service", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("verdict", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("refused_by", Text, primary_key=True),
    Column("hellos", BigInteger, nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("prior_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Index("activity_by_age", "span", "start_ns"),
)
"""Hellos of telling devices by hour, later by day: what history is told from.

``prior_ns`` is the newest but one; ``refused_by`` is empty where nobody did.
"""

event = Table(
    "event",
    metadata,
    Column("id", Text, primary_key=True),
    Column("device_id", Text, nullable=False),
    Column("stack", Integer, nullable=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("told", Text, nullable=False),
    Index("event_by_stack", "device_id", "stack", "time_ns"),
    Index("event_by_time", "time_ns", "id"),
)
"""The newest events of each stack of telling devices, as the contract spells them."""

coverage = Table(
    "coverage",
    metadata,
    Column("site", Text, primary_key=True),
    Column("sensor", Text, primary_key=True),
    Column("start_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("span", Text, primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("facts", Text, nullable=False),
)
"""How long each sensor watched in each hour, later in each day, and what it saw and lost."""

profile = Table(
    "profile",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("checked", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
)
"""The profiles that verdicts rest on, and from which frame time on."""

answer = Table(
    "answer",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("owner", Text),
    Column("note", Text),
    Column("ticket", Text),
    Column("excepted", Text),
    Column("excepted_until_ns", BigInteger),
    Column("did", Text),
    Column("did_at_ns", BigInteger),
)
"""What people say of a device. ``excepted`` is the reason why it may stay as it is, ``did``
what was done about it."""

saying = Table(
    "saying",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("text", LargeBinary, primary_key=True),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
)
"""What devices call themselves and say of themselves, as the wire had it."""

joined = Table(
    "joined",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("into_id", Text, nullable=False),
)
"""Devices that somebody says are one: each of the others, and the one that stands for all.

Nothing else of them is changed, so that they can be told apart again.
"""

passage = Table(
    "passage",
    metadata,
    Column("site", Text, primary_key=True),
    Column("start_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("service", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("verdict", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("refused_by", Text, primary_key=True),
    Column("hellos", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
)
"""Handshakes of all devices together by hour: who gets through at a destination."""

OF_A_DEVICE = (stack, activity, event, answer, saying, joined)
"""Tables whose rows belong to a device."""
