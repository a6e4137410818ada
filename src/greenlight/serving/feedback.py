"""Feedback: read, attributed to an inference, on disk before it is acknowledged.

Which version it speaks of is never the client's word: it follows from the inference.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from greenlight.core import ids
from greenlight.core.errors import BadInput, Conflict, NotFound, StoreError
from greenlight.core.metrics import score
from greenlight.core.records import Feedback, Inference, Record
from greenlight.ports import Records
from greenlight.serving.arrivals import Arrivals
from greenlight.serving.http import NotUsable, Response, json_response
from greenlight.serving.meters import Meters
from greenlight.serving.recorder import Recent
from greenlight.serving.spool import Spool
from greenlight.serving.wire import (
    FeedbackBatch,
    FeedbackItem,
    FeedbackReceipt,
    FeedbackReceipts,
    decode,
)

log = logging.getLogger(__name__)

STORED, PENDING = "stored", "pending"
MAX_NAME = 128
"""Characters of a metric, a reason code, a reviewer or an idempotency key."""
_OF_KEY = 7
"""How many random bytes of an id are made of the idempotency key; the others, of what was said."""
_SINGLE = msgspec.json.Decoder(FeedbackItem)
_BATCH = msgspec.json.Decoder(FeedbackBatch)
_BATCH_START = b'"feedback"'
R = TypeVar("R", bound=Record)


class FeedbackDesk:
    """Takes feedback."""

    def __init__(
        self,
        records: Records,
        spool: Spool,
        arrivals: Arrivals,
        recent: Recent,
        meters: Meters,
        *,
        random: Callable[[int], bytes],
        pending: int,
        remembered: int,
        max_batch: int,
    ) -> None:
        self._records = records
        self._spool = spool
        self._arrivals = arrivals
        self._recent = recent
        self._meters = meters
        self._random = random
        self._pending = pending
        self._remembered = remembered
        self._max_batch = max_batch
        self._keys: OrderedDict[str, bytes] = OrderedDict()

    async def take(self, body: bytes, key: str | None, caller: str | None) -> Response:
        """Keep one feedback or a batch (all or none): 200, or 202 while an inference is pending.

        Args:
            body: the request's JSON.
            key: the idempotency key; the same key and body give the same feedback, once.
            caller: the API key that brings it.

        Raises:
            BadInput: malformed.
            NotFound: an inference that is old enough to be known, and is not.
            Conflict: the key was used for something else.
            SpoolFull: it cannot be kept now.
        """
        items, batch = self._read(body)
        values = [_value(item, _prefix(batch, number)) for number, item in enumerate(items)]
        if key is not None:
            self._reserve(key, items)
        with self._arrivals.arrive() as at:
            try:
                statuses = [
                    await self._attribute(item.inference_id, at, _prefix(batch, number))
                    for number, item in enumerate(items)
                ]
                feedback = [
                    self._make(item, value, at, number, key, caller)
                    for number, (item, value) in enumerate(zip(items, values, strict=True))
                ]
                new = await self._unless_kept(feedback) if key is not None else feedback
                if new:
                    await self._spool.record(new, at, synced=True)
            except BaseException:
                if key is not None:
                    self._keys.pop(key, None)
                raise
        for kept in new:
            self._meters.feedback(kept.metric, kept.value)
        receipts = [
            FeedbackReceipt(made.id, made.inference_id, status)
            for made, status in zip(feedback, statuses, strict=True)
        ]
        answer = FeedbackReceipts(receipts) if batch else receipts[0]
        return json_response(answer, 202 if PENDING in statuses else 200)

    def _read(self, body: bytes) -> tuple[list[FeedbackItem], bool]:
        head = body[:64].lstrip(b" \t\r\n{")
        if not head.startswith(_BATCH_START):
            return [decode(_SINGLE, body)], False
        items = decode(_BATCH, body).feedback
        if not 1 <= len(items) <= self._max_batch:
            raise BadInput(f"feedback: {len(items)} items; send 1 to {self._max_batch}", "feedback")
        return items, True

    def _reserve(self, key: str, items: Sequence[FeedbackItem]) -> None:
        """Hold the key for this body, before anything is awaited."""
        if not 1 <= len(key) <= MAX_NAME:
            raise BadInput(f"idempotency-key: use 1 to {MAX_NAME} characters", "idempotency-key")
        content = hashlib.blake2b(msgspec.json.encode(items), digest_size=16).digest()
        if self._keys.setdefault(key, content) != content:
            raise Conflict(f"idempotency-key {key!r} was used for another body; use a new key")
        if len(self._keys) > self._remembered:
            self._keys.popitem(last=False)

    async def _attribute(self, inference: str, at: int, prefix: str) -> str:
        if inference in self._recent:
            return STORED
        made_at = _made_at(inference, prefix)
        try:
            if await self._find(Inference, inference) is not None:
                return STORED
        except StoreError:
            # A store that cannot be asked is no reason to lose what somebody said.
            log.exception("feedback: the store could not be asked for %s", inference)
            return PENDING
        if abs(at - made_at) < self._pending:
            return PENDING
        raise NotFound(
            f"{prefix}inference_id: no inference {inference}; give the id that came with an answer"
        )

    async def _unless_kept(self, feedback: Sequence[Feedback]) -> list[Feedback]:
        """Those that the store does not have yet under their idempotency key.

        Raises:
            Conflict: it has something else.
        """
        new = []
        for made in feedback:
            try:
                kept = await asyncio.to_thread(self._kept_under_key, made.id)
            except StoreError:
                log.exception("feedback: the store could not be asked for %s", made.id)
                kept = None
            if kept is None:
                new.append(made)
            elif msgspec.structs.replace(kept, at=made.at, caller=made.caller) != made:
                raise Conflict("this idempotency-key was used for another body; use a new key")
        return new

    def _kept_under_key(self, id: str) -> Feedback | None:
        """The feedback of this id, or else one whose id has the same part made of the key."""
        beginning = id[: -2 * (ids.RANDOM_BYTES - _OF_KEY)]
        kept = self._records.get(Feedback, id)
        others = [] if kept else self._records.scan(Feedback, after=(beginning,), limit=1)
        return kept or next((other for other in others if other.id.startswith(beginning)), None)

    async def _find(self, kind: type[R], id: str) -> R | None:
        return await asyncio.to_thread(self._records.get, kind, id)

    def _make(
        self,
        item: FeedbackItem,
        value: float,
        at: int,
        number: int,
        key: str | None,
        caller: str | None,
    ) -> Feedback:
        id = ids.fresh(at, self._random) if key is None else _keyed(item, number, key)
        return Feedback(
            id=id,
            inference_id=item.inference_id,
            metric=item.metric,
            value=value,
            reason_code=item.reason_code,
            comment=item.comment,
            correction=item.correction,
            reviewer=item.reviewer,
            at=at,
            caller=caller,
        )


def _keyed(item: FeedbackItem, number: int, key: str) -> str:
    """An id that is the same, here and everywhere, for the same thing said under the same key.

    The key comes first, so that what was said under it can be found in the store. What was said
    comes after it: while the first body is on its way to the store, nobody can tell that another
    one is sent under its key, and what is acknowledged must not vanish as a repetition.
    """
    place = msgspec.json.encode((item.inference_id, key, number))
    of_key = hashlib.blake2b(place, digest_size=_OF_KEY).digest()
    rest = ids.RANDOM_BYTES - _OF_KEY
    said = hashlib.blake2b(msgspec.json.encode(item), digest_size=rest).digest()
    return ids.uuid7(ids.time_of(item.inference_id), of_key + said)


def _prefix(batch: bool, number: int) -> str:
    return f"feedback[{number}]." if batch else ""


def _made_at(inference: str, prefix: str) -> int:
    try:
        return ids.time_of(inference)
    except BadInput as error:
        raise BadInput(f"{prefix}inference_id: {error}", f"{prefix}inference_id") from error


def _value(item: FeedbackItem, prefix: str) -> float:
    """The feedback's number; checks every other field on the way.

    Raises:
        BadInput: a field is malformed.
        NotUsable: a text that no store keeps.
    """
    for name in ("metric", "reason_code", "reviewer"):
        text = getattr(item, name)
        if text is not None and not 1 <= len(text) <= MAX_NAME:
            raise BadInput(f"{prefix}{name}: use 1 to {MAX_NAME} characters", f"{prefix}{name}")
    for name in ("metric", "reason_code", "reviewer", "comment", "correction"):
        text = getattr(item, name)
        if text is not None and "\x00" in text:
            raise NotUsable(f"{prefix}{name}: holds a NUL character; remove it", f"{prefix}{name}")
    _made_at(item.inference_id, prefix)
    try:
        return score(item.metric, item.value)
    except BadInput as error:
        raise BadInput(f"{prefix}{error}", f"{prefix}{error.param}") from error
