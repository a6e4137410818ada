"""Epochs name the one before and the kill switch's generation; incidents, deliveries, staging."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _columns(names: str, kind: type[sa.Text] | type[sa.BigInteger]) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=False) for name in names.split()]


def upgrade() -> None:
    """Add them. Until now each epoch followed the one numbered one less, and nothing was killed."""
    op.add_column("rollouts", sa.Column("drill", sa.Text(), nullable=True))
    for name in ("follows", "kill"):
        op.add_column(
            "epochs", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        )
    op.add_column("replicas", sa.Column("kills", sa.Text(), nullable=False, server_default="{}"))
    op.execute("UPDATE epochs SET follows = number - 1")
    op.create_index("uq_epochs_follows", "epochs", ["task", "follows"], unique=True)
    op.create_table(
        "incidents",
        *_columns("rollout task control candidate decision code reason", sa.Text),
        sa.Column("drill", sa.Text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("rollout"),
    )
    op.create_index("ix_incidents_task_at", "incidents", ["task", "at"])
    op.create_table(
        "deliveries",
        *_columns("channel", sa.Text),
        *_columns("seq attempts next_at", sa.BigInteger),
        sa.Column("error", sa.Text(), nullable=True),
        *_columns("at", sa.BigInteger),
        sa.Column("since", sa.BigInteger(), nullable=True),
        *_columns("delivered given_up", sa.BigInteger),
        sa.PrimaryKeyConstraint("channel"),
    )
    op.create_table(
        "staging_records",
        *_columns("id task bundle label document person signature", sa.Text),
        *_columns("at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_staging_records_bundle", "staging_records", ["bundle"])


def downgrade() -> None:
    """Drop what was added. Epochs whose numbers leave some out stay as they are."""
    for table in ("staging_records", "deliveries", "incidents"):
        op.drop_table(table)
    op.drop_index("uq_epochs_follows", "epochs")
    for name in ("kill", "follows"):
        op.drop_column("epochs", name)
    op.drop_column("replicas", "kills")
    op.drop_column("rollouts", "drill")
