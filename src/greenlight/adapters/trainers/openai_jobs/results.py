"""What a job leaves behind beside the model: the curve of its measures, step by step."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import math
from typing import Any

MOST_POINTS = 200
"""Of a curve that is kept in a report."""
STEP = "step"
VALIDATION = ("valid_loss", "full_valid_loss")


def curve(content: bytes) -> list[dict[str, float]]:
    """The points of a result file: CSV with a line of names, `step` among them.

    OpenAI hands the file out in base64, others as it is. Empty where it is no such file.
    """
    text = _text(content)
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        if rows.fieldnames is None or STEP not in rows.fieldnames:
            return []
        return [point for point in (_point(row) for row in rows) if STEP in point]
    except csv.Error:
        return []


def kept(points: list[dict[str, float]]) -> list[dict[str, float]]:
    """As many points as a report keeps: first those with measures on validation, then evenly."""
    measured = [point for point in points if any(name in point for name in VALIDATION)]
    chosen = measured or points
    if len(chosen) <= MOST_POINTS:
        return chosen
    last = len(chosen) - 1
    return [chosen[round(n * last / (MOST_POINTS - 1))] for n in range(MOST_POINTS)]


def _text(content: bytes) -> str:
    plain = content.decode("utf-8", errors="replace")
    if STEP in plain.partition("\n")[0]:
        return plain
    try:
        return base64.b64decode(content, validate=True).decode("utf-8", errors="replace")
    except (binascii.Error, ValueError):
        return plain


def _point(row: dict[str | Any, str | Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, text in row.items():
        try:
            value = float(text)
        except (TypeError, ValueError):
            continue
        if isinstance(name, str) and math.isfinite(value):
            found[name] = value
    return found
