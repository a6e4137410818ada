"""[tasks.NAME.train.options] of backend `openai`: who fine-tunes what, and for how much."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from greenlight.core import addresses, options
from greenlight.core.finetuning import MOST_TOKENS
from greenlight.core.records import DAY, SECOND

BACKEND = "openai"
ADDRESS = "https://api.openai.com/v1"
"""As an example."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Duration = Annotated[int, msgspec.Meta(gt=0)]
Auto = Literal["auto"]

_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_SUFFIX = 64


EXAMPLES = {"url": ADDRESS, "model": "gpt-4.1-mini-2025-04-14"}
"""What is needed, and what may stand there."""


class TokenPrices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a million tokens cost at a provider, in one currency."""

    training: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """That are trained on, in every epoch anew."""
    input: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """That the fine-tuned model reads."""
    output: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """That it writes."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration may set. Times are in microseconds; in the file they carry units."""

    url: str
    """The provider's base address, such as `https://api.openai.com/v1`."""
    model: str
    """What is fine-tuned, as the provider calls it."""
    key: str | None = None
    """The variable that holds the key, as `env:NAME`; none where the provider asks for none."""
    suffix: str | None = None
    """Becomes part of the fine-tuned model's name, where the provider does so."""
    method: Literal["supervised"] = "supervised"
    """How it learns: from answers that are shown to it."""
    n_epochs: Count | Auto = "auto"
    """Passes over the rows; `auto` leaves it to the provider, as in the next two."""
    batch_size: Count | Auto = "auto"
    """Rows per step."""
    learning_rate_multiplier: Positive | Auto = "auto"
    """Of the provider's own rate."""
    prompt: str | None = None
    """A file with the template (of a chat: the instructions) for rows that came without one."""
    prices: TokenPrices = TokenPrices()
    """What tokens cost there; without them nothing is known of the cost."""
    cost_limit: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """What one training may cost, in the currency of the prices; beyond it somebody is asked."""
    token_limit: Count = MOST_TOKENS
    """Tokens of a row, at most, as the provider has it for this model."""
    timeout: Duration = DAY
    """For a job, from its creation; then it is cancelled."""
    call_timeout: Duration = 30 * SECOND
    """For the provider to answer, to the creation of a job among others."""
    poll: Duration = 15 * SECOND
    """Between two looks at a job, at most."""

    def runtime(self) -> dict[str, Any]:
        """How what it makes is run (`records.Version.runtime`): where it was made."""
        found: dict[str, Any] = {"kind": "openai", "url": self.url.rstrip("/")}
        if self.key is not None:
            found["key"] = self.key
        if self.prices.input is not None:
            found["prices"] = {"input": self.prices.input, "output": self.prices.output}
        return found

    def hyperparameters(self) -> dict[str, Any]:
        """As the provider takes them."""
        return {
            "n_epochs": self.n_epochs,
            "batch_size": self.batch_size,
            "learning_rate_multiplier": self.learning_rate_multiplier,
        }


def read(config: Mapping[str, Any]) -> Options:
    """The options of a configuration.

    Raises:
        BadInput: the first of their `problems`.
    """
    return options.checked(Options, config, problems(config))


def problems(config: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with options, each as `field: what, and the remedy`. Secrets are not shown."""
    found, wrong = options.shaped(Options, config, EXAMPLES)
    yield from wrong
    if found is not None:
        yield from _wrong(found)


def _wrong(found: Options) -> Iterable[str]:
    wrong = addresses.problem(found.url, ADDRESS)
    if wrong is not None:
        yield f"url: {wrong}"
    if found.key is not None and not _VARIABLE.fullmatch(found.key):
        yield "key: name the variable that holds it, as in env:OPENAI_API_KEY; no key stands here"
    if not found.model.strip():
        yield "model: no name; say what the provider calls the model that is fine-tuned"
    if found.suffix is not None and not 0 < len(found.suffix) <= _SUFFIX:
        yield f"suffix: {len(found.suffix)} characters; a provider takes 1 to {_SUFFIX}"
    prices = found.prices
    if found.cost_limit is not None and prices.training is None:
        yield (
            "cost_limit: nothing can be held against it without a price; add prices = { training = "
            "… }, of a million tokens that are trained on"
        )
    if (prices.input is None) != (prices.output is None):
        yield "prices: input and output go together; give both or none"
