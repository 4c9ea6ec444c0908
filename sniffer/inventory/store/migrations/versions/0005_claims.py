"""What people claim to have done about a device, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("answer", sa.Column("did", sa.Text))
    op.add_column("answer", sa.Column("did_at_ns", sa.BigInteger))
