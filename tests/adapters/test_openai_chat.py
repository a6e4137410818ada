"""A prompt at a provider: the wire format as the `openai` package has it, labels, faults (S1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import openai
import pytest

from greenlight.adapters.runtimes.calls import NoLabel, Refusal
from greenlight.adapters.runtimes.offline import OfflineModel
from greenlight.adapters.runtimes.openai_chat import AT_ONCE, OpenAIChatRuntime
from greenlight.core.chat import Tokens
from greenlight.core.errors import ModelFailed
from greenlight.core.records import MILLISECOND, SECOND
from greenlight.models.prompt import Decoding, Prompt
from greenlight.ports import Prediction
from greenlight.testing import FakeClock
from greenlight.testing.provider import ChatProvider, Fault
from tests.serving.harness import asynchronous

PROMPT = Prompt("One of {labels}\n{input}", model="small", labels=["card", "pin"])
KEY = "sk-never-shown"


@pytest.fixture
def provider() -> Iterator[ChatProvider]:
    """Answers with the first word of the text."""
    with ChatProvider(lambda asked: asked.split("\n")[-1].split()[0], logprob=-0.25) as there:
        yield there


def runtime(provider: ChatProvider, prompt: Prompt = PROMPT, **options: Any) -> OpenAIChatRuntime:
    given = {"clock": FakeClock(), "timeout": 10 * SECOND, **options}
    return OpenAIChatRuntime(provider.url, prompt, **given)


def offline(provider: ChatProvider, **options: Any) -> OfflineModel:
    def opened() -> OpenAIChatRuntime:
        return runtime(provider, failures=1000)

    return OfflineModel(opened, PROMPT.labels, **{"pause": MILLISECOND, **options})


def said(answer: Prediction) -> Prediction:
    """What was said, without what it took."""
    assert answer.tokens is not None
    return msgspec.structs.replace(answer, tokens=None, took=None)


def test_the_provider_speaks_the_real_wire_format(provider: ChatProvider) -> None:
    """As read by the package that defines it; so what our runtime reads is that format."""
    provider.key = KEY
    with openai.OpenAI(base_url=provider.url, api_key=KEY, max_retries=0) as client:
        made = client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "card please"}], logprobs=True
        )
        assert made.choices[0].message.content == "card"
        assert made.choices[0].finish_reason == "stop"
        assert made.choices[0].logprobs is not None
        tokens = made.choices[0].logprobs.content or []
        assert [token.logprob for token in tokens] == [-0.25]
        assert made.usage is not None and made.usage.total_tokens == 3
        assert type(made).model_validate(made.to_dict(), strict=True) == made
        provider.faults.append(Fault(status=429, retry_after=7))
        with pytest.raises(openai.RateLimitError) as limited:
            client.chat.completions.create(
                model="small", messages=[{"role": "user", "content": "card"}]
            )
        assert limited.value.response.headers["retry-after"] == "7"
    stranger = openai.OpenAI(base_url=provider.url, api_key="other", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        stranger.chat.completions.create(model="small", messages=[])


@asynchronous
async def test_we_ask_as_the_real_client_asks(provider: ChatProvider) -> None:
    asking = runtime(provider)
    [answer] = await asking.predict(["card please"])
    await asking.close()
    assert said(answer) == Prediction("card", pytest.approx(0.7788, abs=1e-4))
    async with openai.AsyncOpenAI(base_url=provider.url, api_key=KEY) as client:
        await client.chat.completions.create(
            model="small",
            messages=[{"role": "user", "content": PROMPT.render("card please")}],
            temperature=0.0,
            seed=2025,
            max_tokens=64,
            logprobs=True,
        )
    ours, theirs = provider.seen
    assert ours == theirs


@asynchronous
async def test_the_key_is_sent_and_never_shown(provider: ChatProvider) -> None:
    """S8: no secret in a message."""
    provider.key = KEY
    known, stranger = runtime(provider, key=KEY), runtime(provider, key="sk-wrong")
    assert (await known.predict(["card"]))[0].label == "card"
    with pytest.raises(ModelFailed) as failure:
        await stranger.predict(["card"])
    assert "answered 401" in str(failure.value) and "sk-" not in str(failure.value)
    await known.close()
    await stranger.close()


@asynchronous
async def test_words_on_a_label_are_its_reason_and_no_part_of_its_score(
    provider: ChatProvider,
) -> None:
    """The provider cuts four characters a token: the first one holds either label."""
    sure = pytest.approx(0.7788, abs=1e-4)
    provider.first_logprobs, provider.logprob = [-0.25], -5.0
    asking = runtime(provider)
    provider.rule = lambda asked: asked.split("\n")[-1]
    texts = ["card: what it is about", "pin: what it is about", "card", "pin"]
    answers = await asking.predict(texts)
    await asking.close()
    assert [said(answer) for answer in answers] == [
        Prediction("card", sure, reason="what it is about"),
        Prediction("pin", sure, reason="what it is about"),
        Prediction("card", sure),
        Prediction("pin", sure),
    ]


@pytest.mark.parametrize("asked", [True, False])
@asynchronous
async def test_without_log_probabilities_there_is_no_score(
    provider: ChatProvider, asked: bool
) -> None:
    provider.logprob = None if asked else -0.25
    prompt = Prompt(
        PROMPT.template,
        model="small",
        labels=PROMPT.labels,
        decoding=Decoding(logprobs=asked),
    )
    asking = runtime(provider, prompt)
    [answer] = await asking.predict(["pin"])
    assert said(answer) == Prediction("pin", None)
    assert ("logprobs" in provider.seen[0]) == asked
    await asking.close()


@asynchronous
async def test_an_answer_that_is_no_label_is_an_error_that_opens_no_breaker(
    provider: ChatProvider,
) -> None:
    """An open breaker would hide from the evidence what counts against the version."""
    asking = runtime(provider, failures=2)
    for _ in range(5):
        with pytest.raises(NoLabel, match="'sorry' is none of the 2 labels") as failure:
            await asking.predict(["sorry what?"])
        assert failure.value.status == "error"
    assert len(provider.seen) == 5
    await asking.close()


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": 7}}]}'],
)
@asynchronous
async def test_anything_but_a_completion_is_an_error(provider: ChatProvider, body: bytes) -> None:
    asking = runtime(provider)
    provider.faults.append(Fault(status=200, body=body))
    with pytest.raises(ModelFailed) as failure:
        await asking.predict(["card"])
    assert failure.value.status == "error"
    await asking.close()


@asynchronous
async def test_a_refusal_without_words_is_no_label(provider: ChatProvider) -> None:
    asking = runtime(provider)
    body = b'{"choices": [{"message": {"content": null, "refusal": "I will not"}}]}'
    provider.faults.append(Fault(status=200, body=body))
    with pytest.raises(NoLabel):
        await asking.predict(["card"])
    await asking.close()


@asynchronous
async def test_the_breaker_opens_on_a_provider_that_is_down(provider: ChatProvider) -> None:
    """P1."""
    asking = runtime(provider, failures=2)
    provider.faults.extend([Fault(status=500)] * 2)
    statuses = []
    for _ in range(3):
        with pytest.raises(ModelFailed) as failure:
            await asking.predict(["card"])
        statuses.append(failure.value.status)
    assert statuses == ["error", "error", "short_circuit"]
    assert len(provider.seen) == 2
    await asking.close()


@asynchronous
async def test_a_batch_asks_a_few_at_a_time(provider: ChatProvider) -> None:
    asking = runtime(provider)
    answers = await asking.predict(["card", "pin"] * 20)
    assert [answer.label for answer in answers] == ["card", "pin"] * 20
    assert 1 <= provider.most_at_once <= AT_ONCE
    await asking.close()


def test_offline_a_few_at_a_time_and_in_order(provider: ChatProvider) -> None:
    """E2: a prompt is evaluated like any other version."""
    answers = offline(provider).predict(["card", "pin"] * 30)
    assert [answer.label for answer in answers] == ["card", "pin"] * 30
    assert provider.most_at_once <= 8


def test_offline_an_answer_that_is_no_label_is_a_wrong_answer(provider: ChatProvider) -> None:
    answers = offline(provider).predict(["card", "sorry what?", "pin"])
    assert (answers[1].label, answers[1].score) == ("", None)
    assert answers[1].tokens is not None, "it is paid for all the same"
    assert [answer.label for answer in answers] == ["card", "", "pin"]


def test_offline_an_answer_tells_what_it_took(provider: ChatProvider) -> None:
    """E4, O7: its own time without that of tries that failed, and what the provider counted."""
    provider.faults.append(Fault(status=429, retry_after=1))
    (answer,) = offline(provider).predict(["card please now"])
    assert answer.tokens == Tokens(input=len(PROMPT.render("card please now").split()), output=1)
    assert answer.took is not None and 0 < answer.took < 1000
    together = offline(provider, batch=2).predict(["card", "pin", "card"])
    assert [one.took for one in together] == [None] * 3
    assert all(one.tokens is not None for one in together)


@asynchronous
async def test_a_count_that_cannot_be_read_is_none(provider: ChatProvider) -> None:
    counted = b'{"choices": [{"message": {"content": "pin"}}], "usage": %b}'
    for usage in (b"null", b'"many"', b'{"prompt_tokens": -1, "completion_tokens": 1}'):
        provider.faults.append(Fault(status=200, body=counted % usage))
        asking = runtime(provider)
        assert await asking.predict(["x"]) == [Prediction("pin", None)]
        await asking.close()


def test_offline_faults_that_pass_are_waited_out(provider: ChatProvider) -> None:
    """T4: also as long as the provider asks; and nothing is asked twice that was answered."""
    provider.faults.extend([Fault(status=429, retry_after=0), Fault(status=503)])
    assert len(offline(provider).predict(["card"] * 5)) == 5
    assert len(provider.seen) == 7


@pytest.mark.parametrize("status", [400, 401, 404])
def test_offline_a_refused_request_is_not_repeated(provider: ChatProvider, status: int) -> None:
    provider.faults.append(Fault(status=status))
    with pytest.raises(Refusal, match=f"answered {status}"):
        offline(provider).predict(["card"])
    assert len(provider.seen) == 1


def test_offline_a_fault_that_stays_ends_the_work(provider: ChatProvider) -> None:
    provider.faults.extend([Fault(status=500)] * 6)
    with pytest.raises(Refusal, match="answered 500"):
        offline(provider).predict(["card"])
    assert len(provider.seen) == 6
