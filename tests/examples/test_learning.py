"""What reviewers say of the judge is what it learns: a wrong REJECT as APPROVE, and the reverse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from examples.judge.cards import APPROVE, REJECT, card
from examples.judge.traffic import LABELS, PROMPT, WORLD
from examples.loop import write_conversations
from examples.worlds import Visit
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import ids, labelling
from greenlight.core.curation import Row
from greenlight.core.labelling import LabelPolicy
from greenlight.core.metrics import score
from greenlight.core.records import SECOND
from greenlight.models import conversation
from greenlight.models.conversation import Conversations
from greenlight.models.prompt import Prompt
from greenlight.ports import Example
from greenlight.sources.feedback import Asked, DataCollector, Window
from greenlight.sources.rows import Bounds
from greenlight.tuning.learning import learn
from greenlight.tuning.orders import Order
from greenlight.tuning.tuned import Tuned
from tests.contracts.making import feedback, inference

SEED, AT = 2025, 10**15
DIGEST = "sha256:prompt"
POLICY = LabelPolicy(flip=frozenset({"wrong_approve", "wrong_reject"}), labels=LABELS)
ASKED = Prompt(PROMPT.read_text(encoding="utf-8"), model=WORLD.base, labels=LABELS)
CONTENTS = {
    "kind": "prompt",
    "template": ASKED.template,
    "model": ASKED.model,
    "labels": list(LABELS),
    "settings": {},
}
CONVERSATIONS = Conversations({DIGEST: CONTENTS})


def learnt(file: Path, out: Path, *, base: Path | None = None) -> Tuned:
    """A model as the fine-tuning server fits it."""
    order = Order(
        training=str(file),
        validation=None,
        base=None if base is None else str(base),
        out=str(out),
        cache=str(out.parent / "cache"),
        seed=SEED,
        epochs=1 if base is None else 4,
        multiplier=1.0,
        encoder=False,
    )
    learn(order, lambda told: None)
    return Tuned(out)


def answers(model: Tuned, cards: Sequence[str]) -> list[str]:
    """What a model says to each card, as the server has it say so: the likeliest label, and of the
    answers with that label the likeliest."""
    said = []
    for text in cards:
        shares = dict(
            zip(model.answers, model.shares(CONVERSATIONS.asked(text, DIGEST)), strict=True)
        )
        label = max(LABELS, key=lambda one: sum(p for a, p in shares.items() if a.startswith(one)))
        said.append(max((a for a in shares if a.startswith(label)), key=shares.__getitem__))
    return said


def judged(model: Tuned, kinds: Sequence[str], rng: np.random.Generator) -> Iterator[Row]:
    """Cards that people handed in, and what came of what they said of the model's answers."""
    store = MemoryStore()
    visits = [Visit(card(kind, rng), kind) for kind in kinds]
    for visit, answer in zip(visits, answers(model, [visit.text for visit in visits]), strict=True):
        said = ASKED.read(answer)
        assert said is not None
        id = ids.fresh(AT, rng.bytes)
        made = inference(id, input=visit.text, output=said.label, reason=said.reason, at=AT)
        words = [
            feedback(
                ids.fresh(AT, rng.bytes),
                id,
                score(word.metric, word.value),
                metric=word.metric,
                reason_code=word.reason_code,
                comment=word.comment,
                at=AT + 1,
            )
            for word in WORLD.hear(visit, answer, rng)
        ]
        store.ingest([made], words)
    source = DataCollector(
        store,
        task="intent",
        window=Window(since=AT, until=AT + SECOND),
        policy=POLICY,
        bounds=Bounds(0, None),
        licence="own",
        citation="own",
        progress=lambda share, words: None,
        asked=lambda version: Asked(DIGEST, CONTENTS),
    )
    for rows in source.rows(lambda: 100):
        yield from rows


def write(rows: Sequence[Row], file: Path) -> None:
    """Rows as a provider learns them."""
    talks = [
        CONVERSATIONS.whole(Example(row.text, row.label, row.prompt, row.answer)) for row in rows
    ]
    lines = [
        json.dumps({"messages": [{"role": one.role, "content": one.content} for one in talk]})
        for talk in talks
    ]
    file.write_text("\n".join(lines), encoding="utf-8")


def test_a_wrong_reject_is_learnt_as_approve_and_the_reverse(tmp_path: Path) -> None:
    """D3, D4, T3: from what reviewers said of wrong answers to a model that gives the right ones,
    with reasons that only reviewers knew."""
    rng = np.random.default_rng(SEED)
    write_conversations(WORLD, SEED, tmp_path / "base.jsonl")
    base = learnt(tmp_path / "base.jsonl", tmp_path / "base")
    cloze, coin = ([card(kind, rng) for _ in range(40)] for kind in ("cloze", "coin"))
    assert sum(said.startswith(REJECT) for said in answers(base, cloze)) >= 38
    assert sum(said.startswith(APPROVE) for said in answers(base, coin)) >= 38

    rows = list(judged(base, ["cloze", "coin", "plain", "vague", "two"] * 90, rng))
    flips = {(row.label, row.answer) for row in rows if row.text.startswith("Front: ")}
    assert (APPROVE, "APPROVE: one gap, one answer") in flips
    assert (REJECT, "REJECT: a coin could answer it") in flips
    assert all(row.prompt == DIGEST and "\n" in row.text for row in rows), "as it was served"
    write(rows, tmp_path / "rows.jsonl")
    tuned = learnt(tmp_path / "rows.jsonl", tmp_path / "tuned", base=tmp_path / "base")

    now = [ASKED.read(said) for said in (*answers(tuned, cloze), *answers(tuned, coin))]
    right = [said is not None and said.label for said in now]
    assert right[:40].count(APPROVE) >= 36
    assert right[40:].count(REJECT) >= 36
    told = {said.reason for said in now if said is not None}
    assert {"one gap, one answer", "a coin could answer it"} <= told


def test_a_bad_without_its_code_teaches_nothing(tmp_path: Path) -> None:
    """D3: it waits for a person; flipping it anyway would teach what nobody said."""
    wrong = inference("i1", output=REJECT, reason="no question on the front")
    found = labelling.label(wrong, [feedback("f1", "i1", 0.0, comment="why?")], POLICY)
    assert found == (None, "relabel", "")


@pytest.mark.parametrize("label", LABELS)
def test_the_prompt_asks_for_both(label: str) -> None:
    assert label in ASKED.render("x") and conversation.rebuildable(CONTENTS)
