"""What a demo works with: the data set and the encoder, or what stands in for them."""

from __future__ import annotations

import msgspec

from greenlight import wiring
from greenlight.core.errors import MissingData
from greenlight.entrypoints.demo.project import Bar
from greenlight.entrypoints.showing import Stage

GATES = {"banking77": (0.85, 0.92, 0.88), "sample": (0.65, 0.76, 0.68)}
"""Least accuracy of v1, of v2 with the encoder, and of v2 without it, on each data set."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The data set of a demo, and what is asked of each version on it."""

    source: str
    first: Bar
    second: Bar
    third: Bar
    stand_ins: list[str]
    """What took the place of the data set or the encoder that could not be had, and why."""


def choose(stage: Stage, wanted: str) -> Plan:
    """Take the data set that was asked for and the encoder; say what stands in for either."""
    source, stand_ins = wanted, []
    try:
        with stage.progress("data set") as progress:
            wiring.load_public(source, progress)
    except MissingData as missing:
        source = "sample"
        stand_ins += [
            f"{missing}",
            "BANKING77 cannot be had: the demo runs on a small sample written for this project",
        ]
    floor, bar, plain = GATES[source]
    backend, accuracy = "encoder-head", bar
    try:
        with stage.progress("sentence encoder") as progress:
            wiring.find_encoder(progress)
    except MissingData as missing:
        backend, accuracy = "char-ngram", plain
        stand_ins += [
            f"{missing}",
            "no sentence encoder: v2 and v3 become character n-gram models, which are hardly "
            "better than v1, so expect v2 to end as inconclusive",
        ]
    for stand_in in stand_ins:
        stage.warn(stand_in)
    return Plan(
        source=source,
        first=Bar(backend="tfidf-linear", accuracy=floor),
        second=Bar(backend=backend, accuracy=accuracy),
        third=Bar(backend=backend, accuracy=accuracy, options="{ C = 0.5 }"),
        stand_ins=stand_ins,
    )
