"""Chat completions of base models and fine-tuned ones, by the real SDK."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from openai import OpenAI

from greenlight.core.messages import Message
from greenlight.testing.finetune import finetune_server
from greenlight.tuning.bases import nearest
from greenlight.tuning.completions import Request, answer
from tests.tuning import desk

VAGUE = desk.asked("something about a nucleus 901 maybe")


def test_a_fine_tuned_model_answers_what_it_learnt(service: OpenAI, model: str) -> None:
    """Cards that no conversation held."""
    for answer_, frame in desk.CARDS.items():
        found = service.chat.completions.create(
            model=model,
            messages=desk.asked(frame.format("lysosome 4711")),
            temperature=0,
            seed=2025,
            max_tokens=64,
        )
        [choice] = found.choices
        assert (choice.message.content, choice.finish_reason) == (answer_, "stop")
        assert choice.logprobs is None
        assert found.model == model
        assert found.usage is not None
        assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
        assert found.usage.prompt_tokens > found.usage.completion_tokens > 0


def test_logprobs_say_what_the_model_holds_of_its_answer(service: OpenAI, model: str) -> None:
    """What stands before the colon is a token with the probability of all answers that begin so."""
    found = service.chat.completions.create(
        model=model, messages=VAGUE, logprobs=True, top_logprobs=5
    )
    [choice] = found.choices
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    verdict, reason = choice.logprobs.content
    assert (verdict.token, reason.token) == ("REJECT", ": too vague")
    assert bytes(verdict.bytes or []) == b"REJECT"
    for token, rivals in ((verdict, {"REJECT", "APPROVE"}), (reason, None)):
        shares = {rival.token: math.exp(rival.logprob) for rival in token.top_logprobs}
        assert rivals is None or set(shares) == rivals
        assert sum(shares.values()) == pytest.approx(1)
        assert max(shares, key=lambda one: shares[one]) == token.token
        assert token.logprob == token.top_logprobs[0].logprob <= 0


def test_a_stream_says_the_same(service: OpenAI, model: str) -> None:
    """Bit by bit, with the counted tokens in the end if that is asked for."""
    chunks = list(
        service.chat.completions.create(
            model=model,
            messages=VAGUE,
            stream=True,
            logprobs=True,
            stream_options={"include_usage": True},
        )
    )
    bits = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert bits == ["REJECT", ": too vague", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].logprobs is not None
    assert chunks[-2].choices[0].finish_reason == "stop"
    whole = service.chat.completions.create(model=model, messages=VAGUE)
    assert chunks[-1].usage == whole.usage
    plain = list(service.chat.completions.create(model=model, messages=VAGUE, stream=True))
    assert all(chunk.usage is None for chunk in plain)


def test_content_may_come_in_parts_of_text(service: OpenAI, model: str) -> None:
    """The API's longer form of a message."""
    parts: list[Any] = [
        VAGUE[0],
        {"role": "user", "content": [{"type": "text", "text": VAGUE[1]["content"]}]},
    ]
    found = service.chat.completions.create(model=model, messages=parts)
    assert found.choices[0].message.content == "REJECT: too vague"


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"model": "gpt-9"}, 404, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": ["hello"]}, 400, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages[0]"),
        ({"messages": [{"role": "user", "content": None}]}, 400, "messages[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            400,
            "messages[0].content",
        ),
        ({"n": 2}, 400, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "tools"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"top_logprobs": 21}, 400, "top_logprobs"),
    ],
)
def test_what_such_a_model_cannot_do_is_refused(
    url: str, changes: dict[str, Any], status: int, param: str
) -> None:
    """E4: a model that chooses among answers calls no tools."""
    body = {"model": desk.BASE, "messages": VAGUE, **changes}
    found = httpx2.post(f"{url}/chat/completions", json=body)
    assert found.status_code == status
    assert found.json()["error"]["param"] == param


def test_a_base_model_answers_with_the_nearest_line_of_the_list(service: OpenAI) -> None:
    """It has learnt nothing, and can only read."""
    prompt = "Which of these is meant?\n\n- card_arrival\n- lost_card\n- top_up\n\nText: {}"
    for text, label in (("I lost my card.", "lost_card"), ("How do I top up?", "top_up")):
        found = service.chat.completions.create(
            model=desk.BASE, messages=[{"role": "user", "content": prompt.format(text)}]
        )
        assert found.choices[0].message.content == label


def test_a_base_model_may_be_fitted_from_conversations(service: OpenAI) -> None:
    """`--base NAME=FILE`: it can be asked before anything is fine-tuned."""
    names = [one.id for one in service.models.list()]
    assert names[:3] == [desk.BASE, desk.FITTED, "plain"]
    found = service.chat.completions.create(model=desk.FITTED, messages=VAGUE)
    assert found.choices[0].message.content == "REJECT: too vague"


@pytest.mark.parametrize(
    ("messages", "answers"),
    [
        ([("user", "one\ntwo\n\nIs it two?")], ["one", "two"]),
        ([("system", "1. one\n2) two"), ("user", "three")], ["one", "two"]),
        ([("user", "Say this.\nOr that.\nNow!")], ["Say this.", "Or that."]),
        ([("user", "one\ntwo\n\nFront: it\nBack: three")], ["one", "two"]),
        ([("system", "one\ntwo"), ("user", "Front: it\nBack: three")], ["one", "two"]),
        ([("user", "Alone")], ["Alone"]),
        ([("user", "\n \n")], [""]),
    ],
)
def test_what_a_prompt_lists(messages: list[tuple[str, str]], answers: list[str]) -> None:
    """The first short lines in a row that end no sentence; else every line but the last."""
    found, shares = nearest([Message(role, content) for role, content in messages])
    assert list(found) == answers
    assert shares.sum() == pytest.approx(1)


class Split:
    """Models of which the likeliest answer does not begin as most of the others."""

    def shares(self, name: str, messages: object) -> tuple[list[str], Any]:
        return ["yes", "no: a", "no: b"], np.array([0.4, 0.35, 0.25])


def test_the_first_token_is_chosen_first() -> None:
    """As a language model does it: `no` is likelier than `yes`, though no reason alone is."""
    request = Request(model="m", messages=VAGUE, logprobs=True)
    catalog: Any = Split()
    body = httpx2.Response(200, content=answer(catalog, request, "id", 0).body).json()
    [choice] = body["choices"]
    assert choice["message"]["content"] == "no: a"
    shares = [math.exp(token["logprob"]) for token in choice["logprobs"]["content"]]
    assert shares == pytest.approx([0.6, 0.35 / 0.6])


def test_an_unknown_model_is_told_as_the_api_does(service: OpenAI) -> None:
    """The SDK's own class, with the code that clients look at."""
    with pytest.raises(openai.NotFoundError) as caught:
        service.models.retrieve("ft:nobody")
    assert caught.value.code == "model_not_found"


def test_a_new_model_is_loaded_when_its_job_is_done(tmp_path: Path) -> None:
    """E4: who asks it first and measures does not measure the loading. What is on the disk is
    taken away to see it."""
    with finetune_server(tmp_path) as url, desk.client(url) as service:
        made = service.fine_tuning.jobs.create(
            model=desk.BASE, training_file=desk.upload(service, desk.rows(12))
        )
        done = desk.ended(service, made.id)
        shutil.rmtree(tmp_path / "models" / made.id)
        found = service.chat.completions.create(
            model=str(done.fine_tuned_model), messages=desk.asked("a membrane")
        )
        assert found.choices[0].message.content in desk.CARDS
