"""Following the store: each task's newest epoch becomes its route, if its versions may serve.

The gateway itself refuses what is not authorised. A refused candidate gets no traffic (weight 0,
control answers everybody); a refused control closes the task. Neither is final: versions in use or
refused are looked at again every `recheck`, so that a revoked approval takes effect, and a late
one too.

An epoch that was written before a kill is older than what is in force, and is left alone until the
controller has caught up. Only a gateway that starts in between has nothing else to go by: it routes
by that epoch's control alone. Where a promotion came after the kill, and is about to be undone,
that is the version that was promoted: what was live before it is retired and may not serve.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from greenlight.core.errors import DataError, NotFound, StoreError, UserError
from greenlight.core.records import SECOND, Epoch, Version
from greenlight.core.routing import Standing, barred, newer, place
from greenlight.core.states import Variant
from greenlight.ports import Clock, Records, Runtime
from greenlight.ports.chat import Chat
from greenlight.serving.meters import Meters
from greenlight.serving.routing import Closed, Plan, Route, RoutingTable, Served
from greenlight.serving.settings import Settings

log = logging.getLogger(__name__)

Authorise = Callable[[str, Variant], None]
"""Raises `Refused` for the digest of a version that may not serve as this variant."""
PlanOf = Callable[[str], Plan]
"""How a task is served."""
OpenRuntime = Callable[[Version], Runtime | Chat]
"""Opens a version for serving; may block, for it is called in a thread."""


class Follower:
    """Keeps a routing table up to date."""

    def __init__(
        self,
        records: Records,
        authorise: Authorise,
        open_runtime: OpenRuntime,
        table: RoutingTable,
        clock: Clock,
        meters: Meters,
        settings: Settings,
        plan: PlanOf,
    ) -> None:
        self._records = records
        self._authorise = authorise
        self._open_runtime = open_runtime
        self._table = table
        self._clock = clock
        self._meters = meters
        self._settings = settings
        self._plan = plan
        self._served: dict[str, Served] = {}
        self._checked_at: dict[str, int] = {}
        self._under: dict[str, Standing] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._failing = False
        self.caught_up = False
        """Whether the store has been read to the end at least once."""

    async def run(self) -> None:
        """Look for new routing for ever; a store that is down leaves the routes as they are."""
        while True:
            await self.look()
            await asyncio.sleep(self._settings.poll / SECOND)

    async def look(self) -> None:
        """Apply what is new, once; a fault with one task keeps no other from its new routing."""
        failure: Exception | None = None
        epochs: list[Epoch] = []
        try:
            epochs = await asyncio.to_thread(newest_epochs, self._records)
        except Exception as error:
            failure = error
        for epoch in epochs:
            try:
                if self._is_due(epoch):
                    await self._apply(epoch)
            except Exception as error:
                failure = error
        if failure is None:
            self.caught_up = True
        else:
            # Old routing is better than none; what went wrong may be gone at the next look.
            if not self._failing:
                log.error("routing: could not be read; routes stay as they are", exc_info=failure)
            self._meters.sync_errors.inc()
        self._failing = failure is not None
        self._retire_unused()

    async def close(self) -> None:
        """Close every runtime once its requests are through, for as long as a gateway drains."""
        for served in self._served.values():
            self._retire(served)
        self._served.clear()
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=self._settings.drain / SECOND)

    def _is_due(self, epoch: Epoch) -> bool:
        entry = self._table.get(epoch.task)
        if entry is None:
            return True
        if epoch.number != entry.epoch:
            return self._table.admits(epoch.task, place(epoch))
        if self._under.get(epoch.task) != self._table.standing(epoch.task):
            return True
        since = self._clock.now() - self._checked_at.get(epoch.task, 0)
        return since >= self._settings.recheck

    async def _apply(self, epoch: Epoch) -> None:
        standing = self._table.standing(epoch.task)
        entry = await self._entry(epoch)
        if isinstance(entry, Closed) and await self._is_over(epoch):
            return
        if not self._table.admits(epoch.task, place(epoch)):
            return  # the kill switch was used meanwhile
        now = self._clock.now()
        self._checked_at[epoch.task] = now
        self._under[epoch.task] = standing
        before = self._table.get(epoch.task)
        self._table.apply(entry, now)
        if before is None or before.epoch != epoch.number:
            log.info("routing: %s is in epoch %d", epoch.task, epoch.number)
            if epoch.kill < standing.generation:
                log.warning(
                    "routing: %s: epoch %d was written before the kill switch was used; its "
                    "control answers alone until the controller has caught up",
                    epoch.task,
                    epoch.number,
                )

    async def _is_over(self, epoch: Epoch) -> bool:
        """Whether a newer epoch follows: a promotion retires control in the same moment, and who
        asks for control's approvals just then must not close the task for it."""
        newest = await asyncio.to_thread(current_epoch, self._records, epoch.task)
        return newest is not None and newer(place(newest), place(epoch))

    async def _entry(self, epoch: Epoch) -> Route | Closed:
        """The route of an epoch, as far as its versions may serve."""
        control = await self._admit(epoch.task, epoch.control, Variant.CONTROL)
        if control is None:
            reason = "its version may not serve"
            return Closed(task=epoch.task, epoch=epoch.number, reason=reason, kill=epoch.kill)
        candidate = None
        if epoch.candidate is not None and not barred(epoch.kill, self._table.standing(epoch.task)):
            candidate = await self._admit(epoch.task, epoch.candidate, Variant.CANDIDATE)
        return Route(
            task=epoch.task,
            epoch=epoch.number,
            rollout=epoch.rollout,
            salt=epoch.salt,
            weight=0.0 if candidate is None else epoch.weight,
            control=control,
            candidate=candidate,
            plan=self._plan(epoch.task),
            kill=epoch.kill,
        )

    async def _admit(self, task: str, version: str, variant: Variant) -> Served | None:
        """The version, authorised and open, or None if it may not or cannot serve.

        Whatever else goes wrong while asking for authority is raised: it says nothing about the
        version, and the routes stay as they are.
        """
        refusal: Exception | None = None
        try:
            await asyncio.to_thread(self._authorise, version, variant)
        except (UserError, DataError) as error:
            refusal = error
        served = self._served.get(version)
        if served is None and refusal is None:
            try:
                served = self._served[version] = await asyncio.to_thread(self._open, version)
            except StoreError:
                raise
            except Exception as error:
                # Any fault of a version that does not start is its own: control is spared.
                refusal = error
        self._meters.refused(task, version, refusal is not None)
        if refusal is not None:
            log.error("routing: %s: version %s gets no traffic: %s", task, version, refusal)
            return None
        return served

    def _open(self, digest: str) -> Served:
        version = self._records.get(Version, digest)
        if version is None:
            raise NotFound(f"version {digest} is not in the store")
        return Served(digest, version.label, self._open_runtime(version))

    def _retire_unused(self) -> None:
        in_use = self._table.in_use()
        for digest in [digest for digest in self._served if digest not in in_use]:
            self._retire(self._served.pop(digest))

    def _retire(self, served: Served) -> None:
        task = asyncio.create_task(served.retire(), name=f"retire {served.label}")
        self._retiring.add(task)
        task.add_done_callback(self._retired)

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("routing: %s failed: %s", task.get_name(), error)


def current_epoch(records: Records, task: str) -> Epoch | None:
    """The newest epoch of a task."""
    found = records.scan(Epoch, {"task": task}, newest_first=True, limit=1)
    return found[0] if found else None


def newest_epochs(records: Records) -> list[Epoch]:
    """The newest epoch of each task: one question per task, however many epochs there are."""
    found: list[Epoch] = []
    after: tuple[str | int, ...] | None = None
    while page := records.scan(Epoch, after=after, newest_first=True, limit=1):
        found.append(page[0])
        after = (page[0].task, -1)
    return found
