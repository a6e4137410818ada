"""How telling texts out of scope is judged. Frozen: `protocol_digest` names this file.

Alone: `python -m eval.oos_eval scores.jsonl`, with a line
`{"out": true, "score": 1.5, "flagged": true}` per text: whether it is out of scope in truth, how
far out the model takes it to be (higher is farther), and, where it says so, whether it calls it
out. Or on a bundle and labelled rows, of which those whose label the bundle does not have are out
of scope, and with gates that set the exit code (`eval.alone`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import msgspec
import numpy as np

from eval import alone
from greenlight.core import fingerprint, jsonl
from greenlight.core.errors import BadInput
from greenlight.core.stats.intervals import student, wilson
from greenlight.core.stats.ranking import auroc, auroc_interval

KEPT = 0.95
"""Share of the texts in scope that are kept where a threshold is chosen for comparison."""
POINTS = 200
"""At most so many points of the ROC curve are told."""


class _Line(msgspec.Struct, frozen=True):
    out: bool
    score: float
    flagged: bool | None = None


def evaluate(
    scores: Sequence[float], out: Sequence[bool], flagged: Sequence[bool | None] | None = None
) -> dict[str, Any]:
    """Judge scores of texts in and out of scope.

    Args:
        scores: of n texts, higher is farther out; finite.
        out: whether each is out of scope in truth.
        flagged: whether the model calls it out of scope, by its own threshold.

    Returns:
        auroc: `value` with DeLong's 95 % interval, or a reason where the texts are all of one side.
        accepted_at_95: share of the texts out of scope that are kept where 95 % of those in scope
            are, or a reason.
        roc: points (`false`, `true`): shares of texts in and out of scope above a score.
        own_threshold: `false_alarms` and `found` by the model's own threshold, with Wilson
            intervals, or a reason.
        counts: `in` and `out`, and the share that is out.

    Raises:
        BadInput: no rows, unequal lengths, or a score that is not finite.
    """
    if not scores:
        raise BadInput("cannot compute: there are no scores", "scores")
    if len(scores) != len(out) or (flagged is not None and len(flagged) != len(out)):
        raise BadInput(f"cannot compute: {len(scores)} scores of {len(out)} texts", "scores")
    truth, values = np.asarray(out, bool), np.asarray(scores, np.float64)
    area = auroc(values, truth)
    inside, outside = values[~truth], values[truth]
    return {
        "auroc": _area(area, values, truth),
        "accepted_at_95": _accepted(inside, outside),
        "roc": _roc(inside, outside),
        "own_threshold": _own(truth, flagged),
        "counts": {
            "in": len(inside),
            "out": len(outside),
            "share_out": len(outside) / len(values),
        },
    }


def across(draws: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several judgements come to, each of a model that was kept from other labels.

    Args:
        draws: what `evaluate` gave for each.

    Returns:
        auroc: mean `value` with `spread` (standard deviation) and Student's 95 % interval of the
            mean, as far as there are draws for it; a reason where any draw has none.
        accepted_at_95: mean `value`, or a reason likewise.

    Raises:
        BadInput: there are no draws.
    """
    if not draws:
        raise BadInput("cannot compute: there are no draws", "draws")
    found: dict[str, dict[str, Any]] = {}
    for metric in ("auroc", "accepted_at_95"):
        lacking = [number for number, one in enumerate(draws) if "value" not in one[metric]]
        if lacking:
            why = draws[lacking[0]][metric]["reason"]
            found[metric] = {"reason": f"draw {lacking[0]}: {why}"}
        else:
            found[metric] = {"value": fmean(one[metric]["value"] for one in draws)}
    values = [one["auroc"]["value"] for one in draws if "value" in one["auroc"]]
    interval = student(values) if len(values) == len(draws) else None
    if interval is not None:
        low, high = max(0.0, interval[0]), min(1.0, interval[1])
        found["auroc"] |= {"low": low, "high": high, "spread": stdev(values)}
    return found


def protocol_digest() -> str:
    """The digest of this module's source: what change control covers."""
    return fingerprint.digest_bytes(Path(__file__).read_bytes())


def _area(area: float | None, values: Any, truth: Any) -> dict[str, Any]:
    if area is None:
        side = "out of" if truth.all() else "in"
        return {"reason": f"cannot compute: every text is {side} scope"}
    interval = auroc_interval(values, truth)
    if interval is None:
        return {"value": area, "interval": {"reason": "no variance to estimate it from"}}
    return {"value": area, "low": interval[0], "high": interval[1]}


def _accepted(inside: Any, outside: Any) -> dict[str, Any]:
    if not len(inside) or not len(outside):
        return {"reason": "cannot compute: texts of both sides are needed"}
    limit = float(np.quantile(inside, KEPT, method="higher"))
    kept = int((outside <= limit).sum())
    low, high = wilson(kept, len(outside))
    return {"value": kept / len(outside), "low": low, "high": high, "threshold": limit}


def _roc(inside: Any, outside: Any) -> list[dict[str, float]]:
    if not len(inside) or not len(outside):
        return []
    levels = np.unique(np.concatenate([inside, outside]))[::-1]
    if len(levels) > POINTS:
        levels = levels[np.linspace(0, len(levels) - 1, POINTS).round().astype(int)]
    return [
        {"false": float((inside >= level).mean()), "true": float((outside >= level).mean())}
        for level in levels
    ]


def _own(truth: Any, flagged: Sequence[bool | None] | None) -> dict[str, Any]:
    if flagged is None or any(flag is None for flag in flagged):
        return {"reason": "the model has no threshold of its own"}
    calls = np.asarray(flagged, bool)
    found: dict[str, Any] = {}
    for name, side in (("false_alarms", ~truth), ("found", truth)):
        n, k = int(side.sum()), int(calls[side].sum())
        if n == 0:
            found[name] = {"reason": "cannot compute: there is no such text"}
            continue
        low, high = wilson(k, n)
        found[name] = {"value": k / n, "low": low, "high": high, "n": n}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge what the command line names; see `eval.alone`."""
    return alone.run("eval.oos_eval", __doc__, arguments, of_file=_of_file, of_bundle=_of_bundle)


def _of_file(data: bytes, name: str) -> dict[str, Any]:
    lines = jsonl.decode(data, _Line, name)
    return evaluate(
        [line.score for line in lines],
        [line.out for line in lines],
        [line.flagged for line in lines],
    )


def _of_bundle(asked: alone.Asked) -> dict[str, Any]:
    scores = [answer.oos_score for answer in asked.answers]
    told = [score for score in scores if score is not None]
    if len(told) < len(scores):
        raise BadInput("cannot compute: the model does not tell what is out of scope", "scores")
    known = set(asked.labels)
    return evaluate(
        told,
        [row.label not in known for row in asked.rows],
        [answer.oos for answer in asked.answers],
    )


if __name__ == "__main__":
    raise SystemExit(main())
