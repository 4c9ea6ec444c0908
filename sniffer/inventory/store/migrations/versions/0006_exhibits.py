"""One handshake of each stack as it stood on the wire."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column("stack", sa.Column("exhibit", sa.Text))
