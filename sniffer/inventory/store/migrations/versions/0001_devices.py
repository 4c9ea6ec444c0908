"""Devices, their stacks and activity, events, inputs and coverage."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    half_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("now_ns", sa.BigInteger),
        sa.Column("batches", sa.BigInteger, nullable=False),
        sa.Column("lost", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO state (id, batches, lost) VALUES (1, 0, 0)")
    op.create_table(
        "writer",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "seen",
        sa.Column("id", half_id, primary_key=True, autoincrement=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "input",
        sa.Column("reading", sa.Text, primary_key=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("tail", sa.LargeBinary, nullable=False),
        sa.Column("frames", sa.BigInteger, nullable=False),
        sa.Column("is_done", sa.Boolean, nullable=False),
    )
    op.create_index("input_by_head", "input", ["head"])
    op.create_table(
        "device",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("address", sa.LargeBinary, nullable=False),
        sa.Column("ip", sa.Text, nullable=False),
        sa.Column("mac", sa.Text),
        sa.Column("is_telling", sa.Boolean, nullable=False),
        sa.Column("hellos", sa.BigInteger, nullable=False),
        sa.Column("first_ns", sa.BigInteger, nullable=False),
        sa.Column("last_ns", sa.BigInteger, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_index("device_by_address", "device", ["site", "address"], unique=True)
    op.create_index("device_by_mac", "device", ["mac"])
    op.create_table(
        "stack",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("hello", sa.Text),
    )
    op.create_table(
        "activity",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("start_ns", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("span", sa.Text, primary_key=True),
        sa.Column("stack", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("service", sa.Text, primary_key=True),
        sa.Column("destination", sa.Text, primary_key=True),
        sa.Column("verdict", sa.Text, primary_key=True),
        sa.Column("outcome", sa.Text, primary_key=True),
        sa.Column("refused_by", sa.Text, primary_key=True),
        sa.Column("hellos", sa.BigInteger, nullable=False),
        sa.Column("first_ns", sa.BigInteger, nullable=False),
        sa.Column("prior_ns", sa.BigInteger, nullable=False),
        sa.Column("last_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("device_id", sa.Text, nullable=False),
        sa.Column("stack", sa.Integer, nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
    )
    op.create_index("event_by_stack", "event", ["device_id", "stack", "time_ns"])
    op.create_index("event_by_time", "event", ["time_ns", "id"])
    op.create_table(
        "coverage",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("sensor", sa.Text, primary_key=True),
        sa.Column("start_ns", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("span", sa.Text, primary_key=True),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_table(
        "profile",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("checked", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("since_ns", sa.BigInteger, nullable=False),
    )
