"""A webhook: each message is a POST of JSON, signed with a secret that both sides know.

    x-greenlight-signature: t=1800000000,v1=<hex of HMAC-SHA256(secret, "1800000000." + body)>

`t` is when it was sent, in seconds since 1970-01-01 UTC, so that a receiver can refuse what
somebody has kept and sends again.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from greenlight.adapters.notifiers.posting import PATIENCE, post
from greenlight.core.notices import Notice
from greenlight.core.records import SECOND
from greenlight.ports import Clock

SIGNATURE = "x-greenlight-signature"
ID = "x-greenlight-id"


class WebhookNotifier:
    """Implements `ports.notifier.Notifier`."""

    def __init__(
        self, name: str, url: str, secret: str, *, clock: Clock, patience: float = PATIENCE
    ) -> None:
        """Prepare; nothing is connected.

        Args:
            name: of the channel.
            url: where messages go.
            secret: what they are signed with; the receiver has it too.
            clock: tells when a message is sent.
            patience: seconds without a sign of life.
        """
        self.name = name
        self._url = url
        self._secret = secret.encode()
        self._clock = clock
        self._patience = patience

    def send(self, notice: Notice) -> None:
        """See `ports.notifier.Notifier.send`."""
        body, now = msgspec.json.encode(notice), self._clock.now()
        headers = {SIGNATURE: self._signature(body, now // SECOND), ID: notice.id}
        post(self._url, body, headers, now=now, patience=self._patience)

    def _signature(self, body: bytes, seconds: int) -> str:
        signed = hmac.new(self._secret, f"{seconds}.".encode() + body, hashlib.sha256)
        return f"t={seconds},v1={signed.hexdigest()}"
