"""The ledger is asked for the newest entry of a kind, however long it has grown."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_ledger_kind_seq", "ledger", ["kind", "seq"])


def downgrade() -> None:
    """Take the index away."""
    op.drop_index("ix_ledger_kind_seq", "ledger")
