"""A small made-up task of tagging, and the parts of a tagger with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from greenlight.models import tagger, tagger_graph
from greenlight.models.word_features import CASE_NUMBERS, CHARACTERS, FLAGS, learn_shapes
from greenlight.ports import Example
from tests.models import tiny

NAMES = {"person": ["Ann", "Bob Lee", "Cy"], "place": ["Rome", "New York", "Oslo"]}
BEFORE = {"person": "send", "place": "track"}
LABELS = ["B-person", "B-place", "I-person", "I-place", "O"]
LSTM, CHANNELS, SIZE = 5, 4, 3


def examples(count: int, seed: int) -> list[Example]:
    """A few fillers, and mostly a name behind the word that tells its type."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        words = [str(word) for word in rng.choice(tiny.FILLERS, rng.integers(1, 6))]
        tags = ["O"] * len(words)
        if rng.random() < 0.7:
            kind = str(rng.choice(list(NAMES)))
            name = str(rng.choice(NAMES[kind])).split()
            words += [BEFORE[kind], *name]
            tags += ["O", f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)]
        made.append(Example(" ".join(words), " ".join(tags)))
    return made


def head(seed: int = 3) -> dict[str, Any]:
    """Random weights of what stands above the encoder, by the names of `torch_tagger`."""
    rng = np.random.default_rng(seed)
    width = tiny.HIDDEN + CHANNELS + SIZE + FLAGS
    shapes = {
        "mix": (tiny.LAYERS + 1,),
        "cases.weight": (CASE_NUMBERS, tiny.HIDDEN),
        "characters.weight": (len(CHARACTERS) + 2, SIZE),
        "convolution.weight": (CHANNELS, SIZE, tagger_graph.WIDTH),
        "convolution.bias": (CHANNELS,),
        "shapes.weight": (len(SHAPES) + 1, SIZE),
        "output.weight": (len(LABELS), 2 * LSTM),
        "output.bias": (len(LABELS),),
    }
    for direction in tagger_graph.DIRECTIONS:
        shapes |= {
            f"lstm.weight_ih_l0{direction}": (4 * LSTM, width),
            f"lstm.weight_hh_l0{direction}": (4 * LSTM, LSTM),
            f"lstm.bias_ih_l0{direction}": (4 * LSTM,),
            f"lstm.bias_hh_l0{direction}": (4 * LSTM,),
        }
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def parts(*, quantised: bool = False, **changes: Any) -> tagger.Parts:
    """A tagger that knows nothing but tells texts apart."""
    graph = tagger_graph.build(tiny.CONFIG, tiny.tensors(), head(), quantised=quantised)
    given: dict[str, Any] = {
        "labels": LABELS,
        "graph": graph,
        "tokenizer": tiny.tokenizer().to_str().encode(),
        "shapes": SHAPES,
        "token_limit": 16,
        "beta": 0.7,
        "bias": 0.5,
    }
    return tagger.Parts(**(given | changes))


SHAPES = learn_shapes((word for row in examples(30, 5) for word in row.text.split()), 4)
