"""What a gateway knows of a request besides its answer, and the keys that open it.

An inference says whether it was called while the other arm's breaker was open, with what
probability its texts were kept, what it cost, and which key asked; counts per arm have tokens and
cost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COUNTS = ("input_tokens", "output_tokens", "cost_micros")


def upgrade() -> None:
    """Add the columns, with what was true of every older row, and the table of keys."""
    for column in (
        sa.Column("alone", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("capture", sa.Double(), nullable=False, server_default="1.0"),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.Column("caller", sa.Text(), nullable=True),
    ):
        op.add_column("inferences", column)
    op.add_column("feedback", sa.Column("caller", sa.Text(), nullable=True))
    for name in _COUNTS:
        op.add_column(
            "tallies", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        )
    op.create_table(
        "api_keys",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("id", "name", "digest", "scopes")
        ),
        sa.Column("rate", sa.Double(), nullable=True),
        sa.Column("burst", sa.BigInteger(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    """Drop what was added; a key that was made since opens nothing any more."""
    op.drop_table("api_keys")
    for name in _COUNTS:
        op.drop_column("tallies", name)
    op.drop_column("feedback", "caller")
    for name in ("caller", "cost", "output_tokens", "input_tokens", "capture", "alone"):
        op.drop_column("inferences", name)
