"""Prompts: templates, labels in answers, and their bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.errors import BadInput, Tampered
from greenlight.models import prompt
from greenlight.models.prompt import Decoding, Prompt, score_of

TEMPLATE = 'One of:\n{labels}\nAnswer like {"label": …}.\n\n{input}'
LABELS = ["Refund_not_showing_up", "card_arrival", "reverted_card_payment?"]


def made(template: str = TEMPLATE, **changes: Any) -> Prompt:
    return Prompt(template, **{"model": "small", "labels": LABELS, **changes})


def test_the_text_and_the_labels_take_their_places() -> None:
    assert made().render("where is it?") == (
        "One of:\nRefund_not_showing_up\ncard_arrival\nreverted_card_payment?\n"
        'Answer like {"label": …}.\n\nwhere is it?'
    )


@given(st.text())
def test_a_text_cannot_write_in_the_template(text: str) -> None:
    """Whatever stands in braces in a user's words stays as it is."""
    hostile = "{labels} {input} " + text
    assert made("{labels}: {input}").render(hostile).endswith(": " + hostile)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("card_arrival", "card_arrival"),
        (' "Card_Arrival".\n', "card_arrival"),
        ("**card_arrival**", "card_arrival"),
        ("reverted_card_payment?", "reverted_card_payment?"),
        ("refund_not_showing_up", "Refund_not_showing_up"),
        ("reverted_card_payment", None),
        ("The label is card_arrival", None),
        ("card arrival", None),
        ("", None),
    ],
)
def test_which_answers_are_labels(answer: str, label: str | None) -> None:
    said = made().read(answer)
    assert (said and said.label) == label


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("REJECT: two ideas on one card", ("REJECT", "two ideas on one card")),
        ("**Reject:** two ideas", ("REJECT", "two ideas")),
        ("reject - two ideas\n\nSplit it.", ("REJECT", "two ideas Split it.")),
        ("REJECT \u2013 two ideas", ("REJECT", "two ideas")),
        ("REJECT\u2014two ideas", ("REJECT", "two ideas")),
        ("\n'Reject'\ntwo\x00ideas", ("REJECT", "two ideas")),
        ("REJECT:", ("REJECT", None)),
        ("REJECT: REJECT", ("REJECT", "REJECT")),
        ("REJECT: late: 5 - 3", ("REJECT: late", "5 - 3")),
        ("keep-it: clear", ("keep-it", "clear")),
        ("keep-its place", None),
        ("keep it: clear", None),
        ("keep- it", None),
        ("REJECT two ideas", None),
        ("REJECT, two ideas", None),
        ("REJECT: keep-it", None),
        ("It is REJECT: two ideas", None),
        (": REJECT", None),
    ],
)
def test_an_answer_may_say_why(answer: str, said: tuple[str, str | None] | None) -> None:
    """The longest label counts, one label only, and a hyphen of a word ends none."""
    judge = made(labels=["REJECT", "REJECT: late", "keep-it"])
    found = judge.read(answer)
    assert (found and (found.label, found.reason)) == said
    if found is not None and found.reason is not None:
        assert judge.read(answer[: found.end]) == (found.label, None, found.end)


@given(st.sampled_from(LABELS), st.text())
def test_a_reason_is_short_whatever_a_model_says(label: str, words: str) -> None:
    found = made().read(f"{label}: why so? {words * 50}")
    assert found is not None and found.label == label and found.reason is not None
    assert len(found.reason) <= 500 and not {"\n", "\x00"} & set(found.reason)


@given(st.sampled_from(LABELS))
def test_every_label_is_its_own_answer(label: str) -> None:
    assert made().read(label) == (label, None, len(label))


@pytest.mark.parametrize(
    ("logprobs", "score"),
    [
        ([0.0, 0.0], 1.0),
        ([-0.1, -0.3], pytest.approx(0.8187, abs=1e-4)),
        ([1e-9], 1.0),
        ([-9999.0], 0.0),
        ([], None),
        ([float("-inf")], None),
    ],
)
def test_scores_are_the_mean_of_the_tokens(logprobs: list[float], score: float | None) -> None:
    assert score_of(logprobs) == score


@pytest.mark.parametrize(
    ("template", "changes", "says"),
    [
        ("{labels}", {}, "no place for the text: write {input}"),
        ("{labels} {input} {text}", {}, "{text} is no place; there are {input} and {labels}"),
        ("{input}", {}, "does not say that Refund_not_showing_up, card_arrival"),
        (TEMPLATE, {"labels": []}, "there are no labels"),
        (TEMPLATE, {"labels": ["Card", "card"]}, "differ only in case"),
        (TEMPLATE, {"model": " "}, "no model is named"),
        (TEMPLATE, {"decoding": Decoding(temperature=3)}, "temperature 3"),
        (TEMPLATE, {"decoding": Decoding(max_tokens=0)}, "max_tokens 0 leaves no answer"),
        (TEMPLATE + "x" * 100_000, {}, "longer than 100000 characters"),
    ],
)
def test_what_is_no_prompt(template: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as refusal:
        made(template, **changes)
    assert says in str(refusal.value)


def test_labels_may_stand_in_the_template_itself() -> None:
    assert made(", ".join(LABELS) + "? {input}").render("x").endswith("? x")


def test_a_prompt_comes_back_from_its_bundle(tmp_path: Path) -> None:
    """R3: and is named by the digest of its content."""
    one = made("\r\n" + TEMPLATE, decoding=Decoding(seed=7, max_tokens=9, logprobs=False))
    digest = prompt.write(tmp_path / "a", one)
    assert prompt.write(tmp_path / "b", one) == digest
    assert prompt.write(tmp_path / "c", made()) != digest
    back = prompt.load(tmp_path / "a", digest)
    assert (back.template, back.model, back.labels, back.decoding) == (
        one.template,
        one.model,
        one.labels,
        one.decoding,
    )
    with pytest.raises(BadInput, match="not empty"):
        prompt.write(tmp_path / "a", one)


@pytest.mark.parametrize("name", ["prompt.txt", "manifest.json"])
def test_a_changed_byte_is_refused(tmp_path: Path, name: str) -> None:
    """R3."""
    digest = prompt.write(tmp_path, made())
    file = tmp_path / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(Tampered):
        prompt.load(tmp_path, digest)


def test_another_kind_of_bundle_is_no_prompt(made_bundle: Path) -> None:
    with pytest.raises(BadInput, match="no prompt that this release can read"):
        prompt.load(made_bundle)
