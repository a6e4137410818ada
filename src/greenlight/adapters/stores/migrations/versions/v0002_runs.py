"""A run is a turn of the pipeline, and each of its stages has a result of its own.

At revision 0001 a run was one training. Each becomes a finished run with one stage, `train`,
under its old id, which versions name in their lineage.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NO_INPUTS = "sha256:" + "0" * 64
"""Nothing is known of what else went into the old trainings, so none is ever taken over."""


def _text(*names: str, optional: bool = False) -> Iterator[sa.Column[Any]]:
    return (sa.Column(name, sa.Text(), nullable=optional) for name in names)


def _int(*names: str, optional: bool = False) -> Iterator[sa.Column[Any]]:
    return (sa.Column(name, sa.BigInteger(), nullable=optional) for name in names)


def upgrade() -> None:
    """Make the new tables and carry the trainings over."""
    old = op.get_bind().execute(sa.text("SELECT * FROM runs ORDER BY id")).mappings().all()
    op.drop_index("ix_runs_task", "runs")
    op.drop_table("runs")
    runs = op.create_table(
        "runs",
        *_text("id", "task"),
        *_int("number"),
        *_text("trigger", "initiator", "plan", "environment", "status"),
        *_int("at"),
        *_int("ended_at", optional=True),
        *_text("error", optional=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_runs_task_number", "runs", ["task", "number"])
    stages = op.create_table(
        "stage_results",
        *_text("run", "name", "task", "inputs", "output", "report"),
        *_text("reused", optional=True),
        *_int("started_at", "at"),
        sa.PrimaryKeyConstraint("run", "name"),
    )
    op.create_index("ix_stage_results_name_inputs", "stage_results", ["name", "inputs"])
    op.create_table(
        "run_progress",
        *_text("run", "task", "stage"),
        sa.Column("share", sa.Double(), nullable=False),
        *_text("words"),
        *_int("memory", "peak_memory", "at"),
        sa.PrimaryKeyConstraint("run"),
    )
    numbers: Counter[str] = Counter()
    for row in old:
        numbers[row["task"]] += 1
        op.bulk_insert(runs, [_run(row, numbers[row["task"]])])
        op.bulk_insert(stages, [_stage(row)])


def downgrade() -> None:
    """Keep what was trained; a run without a training has no place in the older schema."""
    rows = op.get_bind().execute(
        sa.text(
            "SELECT runs.*, output, report, started_at, stage_results.at AS done_at FROM runs "
            "JOIN stage_results ON run = id AND name = 'train' ORDER BY id"
        )
    )
    kept = [_training(row) for row in rows.mappings()]
    op.drop_table("run_progress")
    op.drop_table("stage_results")
    op.drop_index("ix_runs_task_number", "runs")
    op.drop_table("runs")
    trainings = op.create_table(
        "runs",
        *_text("id", "task", "backend", "dataset", "config"),
        *_int("seed"),
        *_text("initiator", "environment", "report", "bundle"),
        *_int("started_at", "at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_runs_task", "runs", ["task"])
    op.bulk_insert(trainings, kept)


def _training(row: Any) -> dict[str, Any]:
    plan, output = json.loads(row["plan"]), json.loads(row["output"])
    return {
        "id": row["id"],
        "task": row["task"],
        "backend": plan["backend"],
        "dataset": output["dataset"],
        "config": _json(plan["options"]),
        "seed": plan["seed"],
        "initiator": row["initiator"],
        "environment": row["environment"],
        "report": row["report"],
        "bundle": output["bundle"],
        "started_at": row["started_at"],
        "at": row["done_at"],
    }


def _run(row: Any, number: int) -> dict[str, Any]:
    plan = {
        "backend": row["backend"],
        "options": json.loads(row["config"]),
        "seed": row["seed"],
    }
    return {
        "id": row["id"],
        "task": row["task"],
        "number": number,
        "trigger": "manual",
        "initiator": row["initiator"],
        "plan": _json(plan),
        "environment": row["environment"],
        "status": "finished",
        "at": row["started_at"],
        "ended_at": row["at"],
        "error": None,
    }


def _stage(row: Any) -> dict[str, Any]:
    return {
        "run": row["id"],
        "name": "train",
        "task": row["task"],
        "inputs": _NO_INPUTS,
        "output": _json({"bundle": row["bundle"], "dataset": row["dataset"]}),
        "report": row["report"],
        "reused": None,
        "started_at": row["started_at"],
        "at": row["at"],
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
