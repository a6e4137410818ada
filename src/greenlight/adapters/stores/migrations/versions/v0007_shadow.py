"""Copies of requests that a candidate answers in the shadow, and how many there were.

What it said to each is a table of its own; counts of a candidate in an epoch have its copies.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COUNTS = (
    "copies",
    "copies_answered",
    "copies_failed",
    "copies_compared",
    "copies_agreed",
    "copies_latency_us",
)


def upgrade() -> None:
    """Add the table and the counts; there was no copy before."""
    op.create_table(
        "shadows",
        *(
            sa.Column(name, kind(), nullable=False)
            for name, kind in (
                ("id", sa.Text),
                ("task", sa.Text),
                ("rollout", sa.Text),
                ("epoch", sa.BigInteger),
                ("version", sa.Text),
                ("unit", sa.Text),
                ("unit_source", sa.Text),
                ("output", sa.Text),
                ("latency_ms", sa.Double),
                ("status", sa.Text),
            )
        ),
        sa.Column("alone", sa.Text(), nullable=True),
        sa.Column("agreed", sa.Boolean(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_shadows_rollout_id", "shadows", ["rollout", "id"])
    for name in _COUNTS:
        op.add_column(
            "tallies", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        )


def downgrade() -> None:
    """Drop what was added, and the evidence of copies, which the older code does not know."""
    op.execute("DELETE FROM evidence_journal WHERE test = 'shadow'")
    op.execute("DELETE FROM pending WHERE test = 'shadow'")
    op.execute("DELETE FROM firsts WHERE kind = 'shadow'")
    for name in _COUNTS:
        op.drop_column("tallies", name)
    op.drop_table("shadows")
