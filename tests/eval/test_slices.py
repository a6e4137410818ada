"""Slices of a test (G3, E2): every row once in each cut, and no number of too few rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import ner_eval, slices
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput
from greenlight.core.stats.intervals import newcombe, wilson

KNOWN = frozenset({"where", "is", "my", "card", "the"})
TRAIN = {"card": 90, "cash": 80, "loan": 70, "rate": 60, "atm": 9}
FAMILIES = ["length", "casing", "punctuation", "words"]


def found_of(document: Mapping[str, Any], family: str, name: str) -> dict[str, Any]:
    """One slice of a judgement."""
    [cut] = [it for it in document["families"] if it["family"] == family]
    [entry] = [it for it in cut["slices"] if it["slice"] == name]
    return dict(entry)


def blocks(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Everything in a slice that is a number or a reason."""
    yield from (value for value in entry.values() if isinstance(value, dict))


def placed(text: str) -> dict[str, str]:
    """The slice of each cut that a text is in."""
    return {family.name: family.of[0] for family in slices.families([text], KNOWN)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("where is my card", ("short", "lower", "none", "known")),
        ("Where is my card?", ("short", "mixed", "some", "known")),
        ("WHERE IS MY CARD", ("short", "capitals", "none", "known")),
        ("where is my crad", ("short", "lower", "none", "unknown")),
        ("the " * 9, ("medium", "lower", "none", "known")),
        ("the " * 16, ("medium", "lower", "none", "known")),
        ("the " * 17, ("long", "lower", "none", "known")),
        ("12 €", ("short", "lower", "none", "known")),
        ("", ("short", "lower", "none", "known")),
    ],
)
def test_where_a_text_belongs(text: str, expected: tuple[str, ...]) -> None:
    assert tuple(placed(text)[name] for name in FAMILIES) == expected


@given(st.lists(st.text(max_size=120), min_size=1, max_size=12))
def test_every_row_is_in_exactly_one_slice_of_each_cut(texts: list[str]) -> None:
    for family in slices.families(texts, KNOWN):
        assert len(family.of) == len(texts)
        assert set(family.of) <= set(family.slices)
    gold = [list(TRAIN)[len(text) % len(TRAIN)] for text in texts]
    document = slices.evaluate(texts, gold, gold, train=TRAIN, known=KNOWN)
    assert [cut["family"] for cut in document["families"]] == [*FAMILIES, "labels"]
    for cut in document["families"]:
        assert sum(entry["n"] for entry in cut["slices"]) == len(texts)


@given(st.dictionaries(st.text(max_size=4), st.integers(1, 30), max_size=25))
def test_at_most_a_fifth_is_rare_and_equals_are_not_parted(counts: dict[str, int]) -> None:
    rarest = slices.rare(counts)
    assert len(rarest) <= len(counts) / 5
    others = [counts[label] for label in counts.keys() - rarest]
    assert all(counts[label] < min(others) for label in rarest)


def test_the_rarest_fifth_is_rare() -> None:
    assert slices.rare(TRAIN) == {"atm"}
    assert slices.rare(dict.fromkeys("abcdefghij", 75)) == frozenset()
    assert slices.rare({}) == frozenset()


@given(st.integers(1, 160), st.integers(1, 160), st.data())
def test_a_number_has_enough_rows_and_its_interval(
    lower: int, upper: int, data: st.DataObject
) -> None:
    """E2: below the least size stands a reason, and above it the published intervals."""
    wrong_lower = data.draw(st.integers(0, lower))
    wrong_upper = data.draw(st.integers(0, upper))
    texts = ["a card"] * lower + ["A CARD"] * upper
    gold = ["card"] * len(texts)
    said = gold.copy()
    said[:wrong_lower] = ["cash"] * wrong_lower
    said[lower : lower + wrong_upper] = [""] * wrong_upper
    document = slices.evaluate(texts, gold, said, train=TRAIN, known=KNOWN)
    for name, n, wrong, rest, others in (
        ("lower", lower, wrong_lower, upper, wrong_upper),
        ("capitals", upper, wrong_upper, lower, wrong_lower),
    ):
        entry = found_of(document, "casing", name)
        assert entry["n"] == n
        if n < slices.LEAST:
            assert set(entry["accuracy"]) == set(entry["difference"]) == {"reason"}
            assert "fewer than 50" in entry["accuracy"]["reason"]
            continue
        found = entry["accuracy"]
        assert (found["correct"], found["n"]) == (n - wrong, n)
        assert (found["low"], found["high"]) == wilson(n - wrong, n)
        if rest < slices.LEAST:
            assert set(entry["difference"]) == {"reason"}
            continue
        low, high = newcombe(n - wrong, n, rest - others, rest)
        value = (n - wrong) / n - (rest - others) / rest
        assert entry["difference"] == {"value": value, "low": low, "high": high}


def test_a_slice_without_rows_has_a_reason() -> None:
    document = slices.evaluate(["a card"] * 60, ["card"] * 60, ["card"] * 60, train={}, known=KNOWN)
    for family, name in (("length", "long"), ("labels", "rare"), ("words", "known")):
        entry = found_of(document, family, name)
        assert (entry["n"], [set(it) for it in blocks(entry)]) == (0, [{"reason"}] * 4)
    [rest] = [found_of(document, "labels", "common")]
    assert rest["accuracy"]["value"] == 1.0
    assert rest["difference"] == {"reason": "cannot compare: 0 rows beside it, fewer than 50"}


def test_who_is_turned_away_is_told_by_slice() -> None:
    """Texts in scope that are called out of it; where the model tells nothing there is a reason."""
    texts, gold = ["a card"] * 80 + ["A CARD"] * 100, ["card"] * 180
    flags: list[bool | None] = [n < 20 for n in range(80)] + [n < 5 for n in range(100)]
    given = {"train": TRAIN, "known": KNOWN}
    document = slices.evaluate(texts, gold, gold, **given, flagged=flags)
    lower, upper = (found_of(document, "casing", name) for name in ("lower", "capitals"))
    low, high = wilson(20, 80)
    assert lower["false_alarms"] == {"value": 0.25, "low": low, "high": high, "n": 80}
    low, high = newcombe(20, 80, 5, 100)
    assert lower["false_alarms_difference"] == {"value": 0.2, "low": low, "high": high}
    assert upper["false_alarms"]["value"] == 0.05
    assert lower["accuracy"]["value"] == 1.0
    flags[0] = None
    for said in (flags, None):
        document = slices.evaluate(texts, gold, gold, **given, flagged=said)
        assert set(found_of(document, "casing", "lower")["false_alarms"]) == {"reason"}


SENTENCES: Sequence[tuple[str, str]] = (
    ("Anna went to Rome", "B-person O O B-place"),
    ("nothing to see here", "O O O O"),
    ("I like Acme", "O O B-shop"),
)
TAGS = {"O": 900, "B-person": 30, "B-place": 20, "B-shop": 25, "B-band": 26, "B-film": 27}


def test_sentences_are_judged_as_the_protocol_judges_words() -> None:
    """E3: the F1 of a slice is that of `ner_eval` on its rows; a tagger of `O` has 0."""
    texts, gold = (list(side) * 60 for side in zip(*SENTENCES, strict=True))
    said = [label.replace("B-shop", "O") for label in gold]
    document = slices.evaluate_tags(texts, gold, said, train=TAGS, known=KNOWN)
    tags = sorted({tag for label in gold for tag in label.split()})
    for name, rows in (("common", [2]), ("rare", [0]), ("none", [1])):
        entry = found_of(document, "entities", name)
        own = [SENTENCES[row][1] for row in rows] * 60
        given = [label.replace("B-shop", "O") for label in own]
        whole = ner_eval.evaluate(own, given, tags)
        assert entry["n"] == 60
        assert entry["exact"] == whole["exact"]
        expected = whole["token_micro_f1"]
        assert entry["token_micro_f1"].get("value") == expected.get("value")
        assert entry["token_micro_f1"].keys() == expected.keys()
    silent = slices.evaluate_tags(texts, gold, ["O"] * len(gold), train=TAGS, known=KNOWN)
    mixed = found_of(silent, "casing", "mixed")
    assert mixed["token_micro_f1"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert mixed["exact"]["value"] == 0.0
    assert found_of(silent, "casing", "lower")["exact"]["value"] == 1.0


def test_f1_is_held_against_that_of_the_rest() -> None:
    texts = ["anna is here"] * 80 + ["ANNA IS HERE"] * 80
    gold = ["B-person O O"] * 160
    said = ["B-person O O"] * 60 + ["O O O"] * 20 + ["B-person O O"] * 20 + ["O O O"] * 60
    document = slices.evaluate_tags(texts, gold, said, train=TAGS, known=KNOWN)
    lower, upper = (found_of(document, "casing", name) for name in ("lower", "capitals"))
    apart = lower["token_micro_f1_difference"]
    assert apart["value"] == pytest.approx(
        lower["token_micro_f1"]["value"] - upper["token_micro_f1"]["value"]
    )
    assert 0 < apart["low"] < apart["value"] < apart["high"]
    assert upper["token_micro_f1_difference"]["value"] == pytest.approx(-apart["value"])
    again = slices.evaluate_tags(texts, gold, said, train=TAGS, known=KNOWN)
    assert fingerprint.digest(again) == fingerprint.digest(document)
    few = slices.evaluate_tags(texts[:40], gold[:40], said[:40], train=TAGS, known=KNOWN)
    assert all(
        set(block) == {"reason"}
        for cut in few["families"]
        for entry in cut["slices"]
        for block in blocks(entry)
    )


@pytest.mark.parametrize(
    ("texts", "gold", "predicted"), [([], [], []), (["a"], [], ["x"]), (["a"], ["x"], [])]
)
def test_what_cannot_be_cut_is_refused(
    texts: list[str], gold: list[str], predicted: list[str]
) -> None:
    for judge in (slices.evaluate, slices.evaluate_tags):
        with pytest.raises(BadInput, match="cannot cut"):
            judge(texts, gold, predicted, train={}, known=KNOWN)


def test_the_digest_names_the_rules() -> None:
    """E1"""
    assert slices.protocol_digest().startswith("sha256:")
    assert slices.vocabulary(["My CARD, 2 cards!"]) == {"my", "card", "cards"}
