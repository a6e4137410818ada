"""What the stages need of the world, as small protocols; adapters implement them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from greenlight.core.answers import ArmMinute, ArmSummary, Event, Exposure, Lease, Said
from greenlight.core.chat import Tokens
from greenlight.core.records import Feedback, Inference, Record, Replica, Shadow
from greenlight.core.retention import Erasure
from greenlight.ports.source import NO_PROMPTS, Prompts

R = TypeVar("R", bound=Record)

Progress = Callable[[float, str], None]
"""Called with the share done in [0, 1] and a few words on what is being done."""


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...


class Records(Protocol):
    """A store of records, identified by their key fields."""

    def get(self, kind: type[R], *key: str | int) -> R | None:
        """The record with this key, or None."""
        ...

    def scan(
        self,
        kind: type[R],
        where: Mapping[str, str | int | None] | None = None,
        *,
        after: tuple[str | int, ...] | None = None,
        newest_first: bool = False,
        limit: int = 1000,
    ) -> list[R]:
        """Records whose fields equal `where`, in key order (reversed if `newest_first`).

        `after` is the key of the last record of the page before (keyset paging).
        """
        ...

    def commit(
        self,
        *,
        append: Sequence[Record] = (),
        swap: Sequence[tuple[Record, Record]] = (),
        fence: Lease | None = None,
        now: int | None = None,
    ) -> None:
        """Write everything or nothing, durably.

        `append` inserts. `swap` replaces the first record of each pair by the second (same key)
        only if the store still holds exactly the first. With `fence` (which needs `now`) the
        lease must still be held with that token and not be expired.

        Raises:
            Conflict: a key is taken, a uniqueness rule of the journal is broken, or a record to
                swap has changed or gone.
            LostLease: the fence no longer holds.
        """
        ...

    def lease(self, name: str, holder: str, now: int, ttl: int) -> Lease | None:
        """Take or renew a lease; None while somebody else holds it.

        Renewing keeps the token, a change of holder (or taking an expired lease) adds one.
        """
        ...

    def leased(self, name: str) -> Lease | None:
        """The lease as it was given last, run out or not; None: it never was."""
        ...


class Events(Protocol):
    """What flows from the gateways, and the questions that evidence asks of it."""

    def ingest(
        self,
        inferences: Sequence[Inference],
        feedback: Sequence[Feedback],
        shadows: Sequence[Shadow] = (),
    ) -> None:
        """Store events durably, any number of times: an id that is there already is skipped.

        A copy (`shadows`) is kept only while the inference that it is of is there, which must not
        come after it.

        Which inferences are latency events is told by the bars of their rollout
        (`policy["latency_bars"]`: `p95`, `p99`, `slo` → milliseconds), which must be in the store
        before its first inference; without bars there are none.
        """
        ...

    def heartbeat(self, replica: Replica) -> None:
        """Insert or replace a replica's sign of life."""
        ...

    def exposures(
        self, rollout: str, *, lacking: str, until: int, limit: int = 5000
    ) -> list[Exposure]:
        """First exposures with `at <= until` and no journal entry for the test `lacking`.

        One per (unit, epoch), ordered by (at, unit, epoch), whatever their `unit_source`.
        """
        ...

    def first_events(
        self, rollout: str, *, kind: str, until: int, limit: int = 5000
    ) -> list[Event]:
        """First events of a kind (`core.answers.Event`) with `at <= until` per (unit, epoch).

        Only those without a journal entry for the test named like the kind, ordered by
        (at, unit, epoch).
        """
        ...

    def failed_within(
        self, rollout: str, exposures: Sequence[Exposure], window: int
    ) -> set[tuple[str, int]]:
        """The (unit, epoch) whose first `error` is in [exposure.at, exposure.at + window)."""
        ...

    def past(self, rollout: str, units: Sequence[str]) -> dict[str, list[Exposure]]:
        """Every exposure so far of each unit in this rollout, ordered by epoch."""
        ...

    def feedback_on(
        self, rollout: str, metric: str, exposures: Sequence[Exposure], window: int
    ) -> dict[tuple[str, int], list[Said]]:
        """Feedback per (unit, epoch) on that unit's inferences of that epoch.

        Only what was received in [exposure.at, exposure.at + window), ordered by (received at,
        feedback id); a pair without feedback is absent.
        """
        ...

    def summarise(self, rollout: str) -> list[ArmSummary]:
        """Counts per epoch and assigned variant; `good`/`bad` is the latest quality feedback."""
        ...

    def minutes(
        self, task: str, rollout: str, *, since: int, until: int, labels: bool = False
    ) -> list[ArmMinute]:
        """What was received in each minute of [since, until), by arm of a rollout.

        Minutes are counted from `since`. Ordered by (at, variant); a minute in which an arm had
        nothing is absent. Labels are only counted where they are asked for.

        Raises:
            StoreError: it could not be told.
        """
        ...

    def answers(
        self, task: str, *, since: int, until: int, after: str | None = None, limit: int = 1000
    ) -> list[tuple[Inference, list[Feedback]]]:
        """Inferences with feedback, the newest first, each with all that was said of it.

        Those whose id was made in [since, until), to the millisecond, and on which anything was
        received before `until`; feedback that came later is not there. Feedback is ordered by
        (received at, feedback id). `after` is the inference id of the last of the page before
        (keyset paging). A page takes two queries.
        """
        ...

    def count_answers(self, task: str, *, since: int, until: int) -> tuple[int, int]:
        """How many inferences there are in that window, and how many of them `answers` gives."""
        ...

    def count_feedback(self, task: str, since: int) -> int:
        """On how many inferences quality feedback was received at or after `since`."""
        ...

    def erasable(self, what: Erasure) -> dict[str, int]:
        """How many `inferences` and `feedback` an erasure would take, and how many inferences of
        spared rollouts are `kept`."""
        ...

    def erase(
        self, what: Erasure, random: Callable[[int], bytes], *, batch: int = 500
    ) -> Iterator[Mapping[str, int]]:
        """Erase events and all that was derived from them, in transactions of `batch` rows.

        Inferences with their feedback, copies, exposures, first events and what waits for them go.
        Where nothing is left of a unit in a rollout, its journal entries get another name, the same
        in all of them (`core.retention.nobody`, from `random`), and so do the names in the journals
        of rollouts that ended before `what.before`; who judged the unit (`source`) goes from them.
        Counts of arms stay: they name nobody.

        Each item tells of one transaction: table → rows. Whoever stops between two of them may
        start over at any time.
        """
        ...

    def compact(self) -> None:
        """See to it that no trace of what was erased is left on the disk.

        Raises:
            StoreError: it could not be done now; nothing is lost.
        """
        ...


class Store(Records, Events, Protocol):
    """Records and events in one place, so that one transaction can span both."""

    def close(self) -> None:
        """Release files and connections."""
        ...


class Blobs(Protocol):
    """Folders named by the digest of their content (bundles, prepared data)."""

    def add(self, folder: str) -> str:
        """Copy a folder in under the digest of its manifest.json; returns that digest."""
        ...

    def path(self, digest: str) -> str:
        """Where the folder lies.

        Raises:
            NotFound: there is no such folder.
        """
        ...

    def digests(self) -> list[str]:
        """Every folder that is there, sorted."""
        ...

    def remove(self, digest: str) -> None:
        """Erase a folder; where there is none, nothing happens.

        A call that was killed half-way is finished by the next one for the same digest.
        """
        ...


class Example(msgspec.Struct, frozen=True):
    """One labelled text.

    `prompt` names the instructions that it was served with (`Trainer.train`), and `answer` is what
    a model is to say where that is more than the label; both are empty otherwise.
    """

    text: str
    label: str
    prompt: str = ""
    answer: str = ""


class Prediction(msgspec.Struct, frozen=True):
    """A label with its score in [0, 1], calibrated where the model is; None where it gives none.

    `oos` says whether the text is out of the task's scope, by `oos_score`: 0 is as far out as texts
    in scope are on average, and more is farther. None where the model does not tell. `reason` is
    what a model that talks said beside the label (`core.reasoned`), `tokens` what the provider
    counted, and `took` how long the answer took where it was asked for alone, in milliseconds.
    """

    label: str
    score: float | None
    oos: bool | None = None
    oos_score: float | None = None
    reason: str | None = None
    tokens: Tokens | None = None
    took: float | None = None


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What a trainer made: the bundle's folder and what is worth recording of the training."""

    folder: str
    report: dict[str, Any]


class Trainer(Protocol):
    """Turns examples into a bundle."""

    name: str
    free: bool
    """Whether a training costs no money, so that one more may be made to check on another."""

    def train(
        self,
        *,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
        out: str,
        progress: Progress,
        prompts: Prompts = NO_PROMPTS,
    ) -> Trained:
        """Fit on `train`, choose and calibrate on `validation`, write a bundle to folder `out`.

        Same arguments give the same bytes on one platform. `prompts` holds what models somewhere
        else were asked with, by the names that the examples have (`models.conversation`); a trainer
        that reads texts alone does not look at it.
        """
        ...


class Model(Protocol):
    """A bundle loaded for offline use; may be called from several threads at once."""

    labels: Sequence[str]

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text, in order."""
        ...


class Runtime(Protocol):
    """A version that answers requests in the gateway."""

    @property
    def open_since(self) -> int | None:
        """Since when its breaker has let no call succeed (µs since 1970-01-01 UTC).

        None while it answers, and always where there is no breaker.
        """
        ...

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        """One prediction per text, in order; `within` is patience in seconds, if less than usual.

        Raises:
            ModelFailed: no answer (error, timeout, open breaker); `.status` says which.
        """
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...
