"""What people say of a device: whose it is, notes, tickets, and exceptions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "answer",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("ticket", sa.Text),
        sa.Column("excepted", sa.Text),
        sa.Column("excepted_until_ns", sa.BigInteger),
    )
