"""What the models say to a few texts; DEMO.md shows it.

    python -m benchmarks.examples
    python -m benchmarks.examples --intent BUNDLE --entities BUNDLE
    python -m benchmarks.examples.page

Without a bundle of intents `encoder-head` is trained on BANKING77. Entities are asked where a
bundle that tags words is given.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.baseline.__main__ import CONFIG, silent
from benchmarks.examples.texts import QUESTIONS, SENTENCES, Question, Sentence
from benchmarks.harness import provenance, save
from greenlight import artifacts, config, wiring
from greenlight.core import fingerprint
from greenlight.core.entities import entities as entities_of
from greenlight.models import bundle
from greenlight.ports import Model


def intents(folder: Path, asked: Sequence[Question] = QUESTIONS) -> dict[str, Any]:
    """What a bundle that gives labels says."""
    model: Model = bundle.load(folder)
    made = model.predict([question.text for question in asked])
    return {
        "bundle": _named(folder),
        "rows": [
            {**question._asdict(), "label": one.label, "score": one.score}
            | {"oos": one.oos, "oos_score": one.oos_score}
            for question, one in zip(asked, made, strict=True)
        ],
    }


def entities(folder: Path, asked: Sequence[Sentence] = SENTENCES) -> dict[str, Any]:
    """What a bundle that tags words says."""
    model: Model = bundle.load(folder)
    made = model.predict([sentence.text for sentence in asked])
    rows = []
    for sentence, one in zip(asked, made, strict=True):
        found = entities_of(sentence.text, one.label)
        said = ", ".join(f"{entity.text} ({entity.type})" for entity in found)
        rows.append({**sentence._asdict(), "found": said, "score": one.score})
    return {"bundle": _named(folder), "rows": rows}


def _named(folder: Path) -> str:
    return fingerprint.digest(artifacts.unseal(folder))


def _trained(folder: Path) -> Path:
    """A bundle of the default backend, trained as `greenlight run` does it."""
    path = folder / "greenlight.toml"
    path.write_text(CONFIG.format(backend="encoder-head", seed=2025), encoding="utf-8")
    with wiring.open_app(config.load(path, {})) as app:
        made = wiring.turn(app, "intent", initiator="bench", progress=silent)
        return Path(app.bundles.path(made.version.bundle))


def main() -> None:
    """Ask, and save what was said."""
    began = provenance()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intent", type=Path, help="a bundle that gives labels of BANKING77")
    parser.add_argument("--entities", type=Path, help="a bundle that tags words")
    given = parser.parse_args()
    began["command"] = "python -m benchmarks.examples"  # where bundles lie is nobody's affair
    with tempfile.TemporaryDirectory() as folder:
        found = {"intent": intents(given.intent or _trained(Path(folder)))}
    if given.entities is not None:
        found["entities"] = entities(given.entities)
    save("examples", began, found)


if __name__ == "__main__":
    main()
