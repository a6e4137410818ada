"""The worlds of the examples: seeded, told apart only by what they say, and as their files say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.judge.cards import APPROVE, KINDS, REJECT, card
from examples.judge.traffic import OLD, WORLD
from examples.loop import ROOT, world_of
from examples.worlds import Visit, Word
from greenlight import config
from greenlight.config.templates import FORMS, PROMPT, Signer, prompt_of, render
from greenlight.core.reasoned import whole
from greenlight.wiring import new_person

EXAMPLES = [name for name, form in FORMS.items() if form.prompted]
PEOPLE = {"ana": "ml_lead", "ben": "product_owner"}


def heard(kind: str, answer: str, times: int = 2000) -> list[Word]:
    """What is said of an answer to cards of a kind."""
    rng = np.random.default_rng(3)
    return [w for _ in range(times) for w in WORLD.hear(Visit(card(kind, rng), kind), answer, rng)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_its_template_writes(name: str) -> None:
    """S7: one source of truth: `greenlight init` and the folder say the same."""
    folder = ROOT / "examples" / name
    assert (folder / config.FILE).read_text(encoding="utf-8") == render(name, name, [])
    assert (folder / PROMPT).read_text(encoding="utf-8") == prompt_of(name)
    world = world_of(name)
    assert (world.name, world.task) == (name, FORMS[name].task)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_in_a_hurry_is_still_valid(name: str, tmp_path: Path) -> None:
    """Each change finds its place, and what comes of them is a configuration."""
    keys = np.random.default_rng(1).bytes
    people = [
        Signer(name=who, roles=(role,), key=new_person(keys)[1]) for who, role in PEOPLE.items()
    ]
    text = render(name, name, people)
    for before, after in world_of(name).hurry.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    file = tmp_path / config.FILE
    file.write_text(text, encoding="utf-8")
    task = config.load(file, {}).task(world_of(name).task)
    assert task.rollout.horizon < 10 * 60 * 10**6
    assert task.train.options["model"] == world_of(name).base


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_same_seed_is_the_same_world(name: str) -> None:
    world = world_of(name)

    def drawn(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        visits = [world.visit(1 + n % 2, rng) for n in range(20)]
        said = [world.hear(visit, "APPROVE: so", rng) for visit in visits]
        return list(world.conversations(rng))[:20], visits, said

    assert drawn(4) == drawn(4) != drawn(5)


def test_the_base_is_wrong_as_the_old_rulebook_is() -> None:
    """It turns one good kind away and lets one flawed kind in; else it is right."""
    assert {KINDS[kind].label for kind in OLD} == {APPROVE, REJECT}
    assert all(label != KINDS[kind].label for kind, (label, _) in OLD.items())
    said = [talk[-1]["content"] for talk in WORLD.conversations(np.random.default_rng(1))]
    assert whole(*OLD["cloze"]) in said
    assert "one gap, one answer" not in " ".join(said), "nobody taught it"


@pytest.mark.parametrize(("kind", "label"), [("cloze", REJECT), ("coin", APPROVE)])
def test_a_reviewer_says_what_was_wrong(kind: str, label: str) -> None:
    """D3: with the code that flips the label, mostly; some also say why."""
    said = [word for word in heard(kind, f"{label}: because") if word.metric == "quality"]
    assert 1100 < len(said) < 1300, "not everything is judged"
    values = Counter(word.value for word in said)
    assert 0 < values["GOOD"] < 0.05 * len(said), "a slip of the hand"
    bad = [word for word in said if word.value == "BAD"]
    codes = Counter(word.reason_code for word in bad)
    assert set(codes) == {f"wrong_{label.lower()}", None} and codes[None] < 0.2 * len(bad)
    assert {word.comment for word in bad} == {KINDS[kind].reason, None}
    assert all(word.delay >= 0 for word in said) and len({word.delay for word in said}) > 1000


def test_a_right_answer_is_mostly_good() -> None:
    said = [word for word in heard("two", "REJECT: two ideas") if word.metric == "quality"]
    assert Counter(word.value for word in said)["GOOD"] > 0.95 * len(said)
    assert not any(word.comment for word in said), "nobody comments on their own slip"


def test_what_authors_do_speaks_for_good_cards() -> None:
    """The secondary metrics: a good card that is let in is created and practised more."""

    def mean(kind: str, answer: str, metric: str) -> float:
        found = [float(word.value) for word in heard(kind, answer) if word.metric == metric]
        assert all(0 <= value <= 10 for value in found)
        return float(np.mean(found))

    assert mean("plain", "APPROVE", "card_created") > mean("coin", "APPROVE", "card_created") + 0.1
    assert mean("coin", "REJECT", "card_created") < 0.1
    assert mean("plain", "APPROVE", "engagement") > mean("coin", "APPROVE", "engagement") + 2
