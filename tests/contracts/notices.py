"""A message, and what must never be told of the channels it goes on."""

from __future__ import annotations

from greenlight.core.notices import Notice
from greenlight.core.records import SECOND

SECRET = "whsec-not-to-be-shown"
PASSWORD = "swordfish-not-to-be-shown"
SHORT_ID = "0f1e2d3c4b5a"
NOTICE = Notice(
    id=f"sha256:{SHORT_ID}{'0' * 52}",
    seq=7,
    kind="rollback",
    severity="critical",
    task="intent",
    title="intent: intent@2 was rolled back",
    text="more of its units meet failures (errors)",
    next="see what went wrong: greenlight rollouts show 0199d2f8",
    link="https://pages.acme.example/rollouts/0199d2f8",
    at=1_800_000_000 * SECOND,
    body={"code": "errors"},
)
