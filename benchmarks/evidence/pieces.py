"""Every measurement by name, with its size in full and in the quick form."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from benchmarks.evidence import choices, faults, first_events, null, sizes, small
from benchmarks.evidence.counting import Row
from benchmarks.evidence.traps import assigning, events, feedback, launching
from benchmarks.evidence.traps.trap import Trap


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement: a function, and the counts that it is called with."""

    work: Callable[..., list[Row] | Trap]
    full: Mapping[str, int]
    quick: Mapping[str, int] | None = None
    """None: it takes too long to be part of the quick form."""


class Measured(msgspec.Struct, kw_only=True):
    """What a piece found."""

    name: str
    rows: list[Row]
    traps: list[Trap]
    seconds: float
    """Of CPU."""


def measure(name: str, quick: bool = False) -> Measured:
    """Carry out one piece.

    Args:
        name: a key of `PIECES`.
        quick: with its smaller counts.

    Raises:
        ValueError: the quick form does without it.
    """
    piece, began = PIECES[name], time.process_time()
    counts = piece.quick if quick else piece.full
    if counts is None:
        raise ValueError(f"{name} has no quick form")
    found = piece.work(**counts)
    return Measured(
        name=name,
        rows=found if isinstance(found, list) else [],
        traps=[found] if isinstance(found, Trap) else [],
        seconds=time.process_time() - began,
    )


def _nulls() -> dict[str, Piece]:
    """Worlds whose units or delays are remembered take memory by the unit: they are shorter."""
    shorter = {"feedback delayed, the candidate's more": 6_000}
    shorter |= dict.fromkeys((name for name in null.NULLS if "split 10, 0" in name), 10_000)
    shorter |= dict.fromkeys((name for name in null.NULLS if "returning" in name), 10_000)
    return {
        f"null: {scenario}": Piece(
            work=partial(null.type_one, scenario),
            full={
                "runs": 2_000,
                "length": shorter.get(scenario, 20_000),
            },
            quick={"runs": 200, "length": 1_200},
        )
        for scenario in null.NULLS
    }


def _sizes() -> dict[str, Piece]:
    return {
        "size: better": Piece(
            work=sizes.superiority,
            full={"runs": 4_000, "length": 8_000},
            quick={"runs": 300, "length": 4_000},
        ),
        "size: harm": Piece(work=sizes.harm, full={"runs": 4_000, "length": 30_000}),
        **{
            f"size: margin {margin:.2f}": Piece(
                work=partial(sizes.margins, margin=margin),
                full={"runs": 4_000, "length": 24_000},
                quick=None if margin < 0.1 else {"runs": 300, "length": 4_000},
            )
            for margin in (0.05, 0.1, 0.15)
        },
        **{
            f"curve: {effect:.2f}": Piece(
                work=partial(sizes.curve, effect=effect),
                full={"runs": 2_000},
                quick=None if effect < 0.1 else {"runs": 200},
            )
            for effect in sizes.EFFECTS
        },
    }


def _faults() -> dict[str, Piece]:
    return {
        **{
            f"errors: {when}": Piece(
                work=partial(faults.error_jump, when=when),
                full={"runs": 2_000 if "7 days" in when else 4_000},
                quick=None if "hours" in when or "days" in when else {"runs": 300},
            )
            for when in faults.JUMPS
        },
        **{
            f"dead: {weight:.2f}": Piece(
                work=partial(faults.dead, weight=weight), full={"runs": 4_000}, quick={"runs": 300}
            )
            for weight in faults.DEAD
        },
        "alarms": Piece(work=faults.alarms, full={"runs": 1_000}, quick={"runs": 40}),
        "errors: small": Piece(work=faults.small_jump, full={"runs": 2_000}, quick={"runs": 100}),
        **{
            f"latency: {count}, {when}, {tolerance}": Piece(
                work=partial(first_events.latency, count=count, when=when, tolerance=tolerance),
                full={"runs": 2_000},
                quick={"runs": 150} if tolerance == 1 and "30" not in when else None,
            )
            for count, when in first_events.LATENCY
            for tolerance in (1.0, first_events.SHIPPED)
        },
        "null day": Piece(work=first_events.day, full={"runs": 4_000}, quick={"runs": 200}),
        "split": Piece(
            work=small.split_not_kept,
            full={"runs": 1_000, "length": 12_000},
            quick={"runs": 60, "length": 8_000},
        ),
        "choice: stakes": Piece(work=choices.stakes, full={"runs": 2_000}),
        "choice: thetas": Piece(work=choices.thetas, full={"runs": 4_000, "length": 8_000}),
        "cost": Piece(work=small.cost, full={"updates": 50_000}, quick={"updates": 2_000}),
    }


def _traps() -> dict[str, Piece]:
    def trap(work: Callable[..., Trap], length: int | None = None) -> Piece:
        """`length`: outcomes of a run in the quick form, if fewer than in full."""
        quick = {"runs": 200} if length is None else {"runs": 200, "length": length}
        return Piece(work=work, full={"runs": 2_000}, quick=quick)

    def slow(work: Callable[..., Trap]) -> Piece:
        return Piece(work=work, full={"runs": 400}, quick={"runs": 40})

    return {
        "trap: drift": trap(assigning.drift, 4_000),
        "trap: known units": trap(assigning.known_units, 2_500),
        "trap: zero and back": trap(assigning.zero_and_back, 2_500),
        "trap: fallback": trap(assigning.fallback),
        "trap: alternating": trap(assigning.alternating, 3_000),
        "trap: long break": trap(assigning.long_break),
        "trap: difficult users": trap(events.difficult),
        "trap: outage": trap(events.outage),
        "trap: first seconds": trap(events.first_seconds),
        "trap: refusals": slow(events.refusals),
        "trap: attempts": slow(events.attempts),
        "trap: delayed": trap(feedback.delayed, 2_000),
        "trap: silent": Piece(work=feedback.silent, full={"runs": 2_000}),
        "trap: silent, confirmed": Piece(
            work=partial(feedback.silent, confirmed=True),
            full={"runs": 2_000},
            quick={"runs": 100, "length": 2_500},
        ),
        "trap: one voice": trap(feedback.one_voice),
        "trap: relaunching": trap(launching.relaunching, 800),
    }


PIECES: dict[str, Piece] = {
    **_nulls(),
    **{
        f"alternating: {block}": Piece(
            work=partial(null.alternating, block=block), full={"runs": 2_000, "length": 8_000}
        )
        for block in (250, 500, 1000, 2000)
    },
    **_sizes(),
    **_faults(),
    **_traps(),
}
QUICK = tuple(name for name, piece in PIECES.items() if piece.quick is not None)
