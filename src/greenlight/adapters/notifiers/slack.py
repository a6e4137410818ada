"""Slack, and what takes messages in its form (Mattermost, Rocket.Chat).

The address of an incoming webhook is the secret: whoever has it may write to the channel.
"""

from __future__ import annotations

from typing import Any

import msgspec

from greenlight.adapters.notifiers.posting import PATIENCE, post
from greenlight.core.fingerprint import short
from greenlight.core.notices import Notice
from greenlight.ports import Clock

_SIGNS = {"info": "🟢", "warning": "🟡", "critical": "🔴"}
_SECTION = 2900
"""Slack takes 3,000 signs of a section, and counts those that stand for others."""


class SlackNotifier:
    """Implements `ports.notifier.Notifier`."""

    def __init__(self, name: str, url: str, *, clock: Clock, patience: float = PATIENCE) -> None:
        """Prepare; nothing is connected.

        Args:
            name: of the channel.
            url: of the incoming webhook, which is a secret.
            clock: tells how long a `Retry-After` is.
            patience: seconds without a sign of life.
        """
        self.name = name
        self._url = url
        self._clock = clock
        self._patience = patience

    def send(self, notice: Notice) -> None:
        """See `ports.notifier.Notifier.send`."""
        body = msgspec.json.encode(message(notice))
        post(self._url, body, {}, now=self._clock.now(), patience=self._patience)


def message(notice: Notice) -> dict[str, Any]:
    """A message in Slack's form: `text` for notifications and for others, `blocks` to be shown."""
    title = f"{_SIGNS[notice.severity]} {notice.title}"
    lines = [notice.text, f"*Next:* {notice.next}"]
    shown = _escaped("\n".join(line for line in lines if line), _SECTION)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title[:150], "emoji": True}},
        {"type": "section", "text": {"type": "mrkdwn", "text": shown}},
    ]
    # Slack drops no repeats; by this name people can tell that one is one.
    small = f"{notice.severity} · {short(notice.id)}"
    if notice.link is not None:
        shown += f"\n{notice.link}"
        small = f"<{notice.link}|Open the rollout> · {small}"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": small}]})
    return {"text": f"{_escaped(title)}\n{shown}", "blocks": blocks}


def _escaped(text: str, most: int | None = None) -> str:
    """No word of a reason is a command: `<!channel>` would wake everybody."""
    found = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if most is None or len(found) <= most:
        return found
    return _escaped(text[: len(text) * 9 // 10 - 1] + "…", most)
