"""What letting go by age needs: activity by age, and which batch each day began with."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add table and index."""
    op.create_table(
        "epoch",
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
    )
    op.create_index("activity_by_age", "activity", ["span", "start_ns"])
