"""Devices that somebody says are one."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "joined",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("into_id", sa.Text, nullable=False),
    )
