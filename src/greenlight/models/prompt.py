"""A prompt as a bundle: what a model at a provider is asked, and how its answer becomes a label.

An answer is a label, or a label and words on it: `REJECT: two ideas on one card`.

| file | holds |
|---|---|
| `prompt.txt` | the template: `{input}` is the text, `{labels}` the list of labels, one per line |

The manifest names the model, the labels and the settings of the decoding. Where the provider is,
and whose key opens it, is no part of the bundle but of how it is run (`records.Version.runtime`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from greenlight import artifacts
from greenlight.core import reasoned
from greenlight.core.errors import BadInput

FORMAT = 1
KIND = "prompt"
FILE = "prompt.txt"
LONGEST = 100_000
"""Characters of a template."""

_PLACE = re.compile(r"\{([A-Za-z_]+)\}")
_AFTER_LABEL = re.compile(r"[:\n\u2013\u2014]|-(?=\s)")
"""What stands between a label and the words on it. A hyphen may belong to a word, so there a space
follows."""
_SLACK = 32
"""Characters that white space and quotes around a label may take."""


class Decoding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model is to answer."""

    temperature: float = 0.0
    seed: int = 2025
    max_tokens: int = 64
    logprobs: bool = True
    """Ask for log-probabilities, of which the score is made. Some providers refuse the request."""


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    kind: Literal["prompt"]
    model: str
    labels: tuple[str, ...]
    settings: Decoding
    files: dict[str, str]


class Answered(NamedTuple):
    """What an answer says: its label, and the words on it, if there are any (`core.reasoned`)."""

    label: str
    reason: str | None
    end: int
    """Characters of the answer up to the end of its label."""


class Prompt:
    """A template with the labels that it asks for. Immutable, so any thread may use it."""

    def __init__(
        self, template: str, *, model: str, labels: Sequence[str], decoding: Decoding | None = None
    ) -> None:
        """Check the parts.

        Args:
            template: the text with its places, see the module.
            model: what the provider calls the model.
            labels: every label there is.
            decoding: settings, sent with every request.

        Raises:
            BadInput: a template without `{input}`, with a place that is none, or that does not say
                which labels there are; labels that an answer could not tell apart; settings that
                no model has.
        """
        self.template = template
        self.model = model
        self.labels: Sequence[str] = tuple(labels)
        self.decoding = decoding or Decoding()
        self._known = {reasoned.plain(label): label for label in self.labels}
        self._reach = 2 * max(map(len, self.labels), default=0) + _SLACK
        _check(self, len(self._known))

    def render(self, text: str) -> str:
        """What the model is asked about a text. Braces in the text mean nothing."""
        fill = {"input": text, "labels": "\n".join(self.labels)}
        return _PLACE.sub(lambda place: fill[place.group(1)], self.template)

    def body(self, text: str) -> dict[str, Any]:
        """The request to the provider about a text."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.render(text)}],
            "temperature": self.decoding.temperature,
            "seed": self.decoding.seed,
            "max_tokens": self.decoding.max_tokens,
        }
        return body | ({"logprobs": True} if self.decoding.logprobs else {})

    def read(self, answer: str) -> Answered | None:
        """What an answer says: a label, or a label followed by a colon, a dash or a new line and
        words on it. Case, white space and quotes around a label do not count.

        None if it begins with no label, or if what follows is another one.
        """
        label = self._known.get(reasoned.plain(answer))
        if label is not None:
            return Answered(label, None, len(answer))
        found: tuple[str, int, int] | None = None
        for mark in _AFTER_LABEL.finditer(answer, 0, self._reach):
            label = self._known.get(reasoned.plain(answer[: mark.start()]))
            if label is not None:  # the longest one: a label may have such a sign within
                found = label, mark.start(), mark.end()
        if found is None:
            return None
        label, end, begin = found
        if self._known.get(reasoned.plain(answer[begin:]), label) != label:
            return None
        return Answered(label, reasoned.short(answer[begin:].lstrip(reasoned.AROUND)), end)


def score_of(logprobs: Sequence[float]) -> float | None:
    """The geometric mean of the tokens' probabilities, in [0, 1]; None if there are none.

    It is what the model holds of its own words, and not calibrated.
    """
    if not logprobs or not all(math.isfinite(value) for value in logprobs):
        return None
    return min(1.0, math.exp(math.fsum(logprobs) / len(logprobs)))


def write(folder: str | Path, prompt: Prompt) -> str:
    """Write a prompt as a bundle to a new or empty folder; equal prompts give equal bytes.

    Returns:
        The bundle's digest.

    Raises:
        BadInput: the folder is not empty.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise BadInput(f"{root} is not empty; a bundle needs a folder of its own", "out")
    (root / FILE).write_text(prompt.template, encoding="utf-8", newline="")
    body = {
        "format": FORMAT,
        "kind": KIND,
        "model": prompt.model,
        "labels": list(prompt.labels),
        "settings": msgspec.to_builtins(prompt.decoding),
    }
    return artifacts.seal(root, body)


def load(folder: str | Path, expected_digest: str | None = None) -> Prompt:
    """Load a prompt after checking every byte of its bundle.

    Raises:
        Tampered: not the expected bundle, or a file was changed, removed or added.
        BadInput: sealed as it should be, but no prompt that this release can read.
    """
    root = Path(folder)
    body = artifacts.unseal(root, expected_digest)
    try:
        manifest = msgspec.convert(body, _Manifest)
        template = (root / FILE).read_bytes().decode("utf-8")
    except (msgspec.MsgspecError, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{root}: no prompt that this release can read ({error})") from error
    if manifest.format != FORMAT:
        raise BadInput(f"{root}: prompt format {manifest.format}; this release reads {FORMAT}")
    return Prompt(
        template, model=manifest.model, labels=manifest.labels, decoding=manifest.settings
    )


def _check(prompt: Prompt, distinct: int) -> None:
    places = _PLACE.findall(prompt.template)
    strange = sorted(set(places) - {"input", "labels"})
    unsaid = [label for label in prompt.labels if label not in prompt.template]
    decoding = prompt.decoding
    problems = [
        problem
        for problem, found in (
            (f"it is longer than {LONGEST} characters", len(prompt.template) > LONGEST),
            ("it has no place for the text: write {input} where it goes", "input" not in places),
            (
                f"{', '.join('{' + name + '}' for name in strange)} is no place; there are "
                "{input} and {labels}",
                bool(strange),
            ),
            (
                f"it does not say that {', '.join(unsaid[:3])} can be the answer: name every label "
                "or write {labels}",
                bool(unsaid) and "labels" not in places,
            ),
            ("no model is named", not prompt.model.strip()),
            ("there are no labels", not prompt.labels),
            (
                "two labels differ only in case, white space or quotes: an answer could not tell "
                "them apart",
                distinct != len(prompt.labels),
            ),
            (
                f"temperature {decoding.temperature} is outside [0, 2]",
                not 0 <= decoding.temperature <= 2,
            ),
            (f"max_tokens {decoding.max_tokens} leaves no answer", decoding.max_tokens < 1),
        )
        if found
    ]
    if problems:
        raise BadInput(f"prompt: {'; '.join(problems)}", "prompt")
