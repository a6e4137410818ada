"""The durable pipeline: runs that survive being killed, one per task, nothing paid for twice.

A run is a record, and so is each of its finished stages; a stage's record is written in the same
transaction as what the stage made. Whoever holds the run's lease may carry it out: after a kill
the lease runs out and another process goes on at the first stage without a record. Stages hand
over content by digest, so a stage whose inputs are those of an earlier one is taken over from it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from greenlight.core import fingerprint, pii
from greenlight.core.answers import Lease
from greenlight.core.errors import (
    Aborted,
    BadInput,
    Conflict,
    GreenlightError,
    LostLease,
    NotFound,
    Refused,
)
from greenlight.core.lifecycle import FIRST_RUN_STATUS, Event
from greenlight.core.records import SECOND, Run, RunProgress, StageResult
from greenlight.core.states import RunStatus
from greenlight.lookup import everything
from greenlight.ports import Progress
from greenlight.recording import Step, finish, record
from greenlight.stages import runs
from greenlight.stages.loop import STAGES, Plan, Turn, Workshop, turn
from greenlight.stages.train import cancel

LEASE_TTL = 10 * SECOND
ATTEMPTS = 3
"""How often to do a stage anew when somebody changed a record meanwhile."""

TAKEN_OVER = frozenset({"curate", "train", "sanity", "evaluate"})
"""Stages whose result follows from their inputs alone."""

MADE = frozenset({"collect", "curate", "train", "sanity"})
"""Stages whose result is taken over where a run is to begin after them."""


class FineTuningPipeline:
    """Begins runs, carries them out, resumes and aborts them. One object per process."""

    def __init__(
        self,
        shop: Workshop,
        holder: str,
        *,
        lease_ttl: int = LEASE_TTL,
    ) -> None:
        """Set up the pipeline; nothing is opened or begun.

        Args:
            shop: stores and tools.
            holder: names this process among all that might carry out a run.
            lease_ttl: how long a killed process blocks its run (µs).
        """
        self._shop = shop
        self._holder = holder
        self._ttl = lease_ttl

    def begin(self, task: str, plan: Plan, *, trigger: str, initiator: str) -> Run:
        """Put a new run on record. It is not carried out yet.

        Args:
            task: whose model is made.
            plan: what to make.
            trigger: `manual`, `schedule` or `feedback`.
            initiator: who asked for it; they cannot sign what comes of it.

        Raises:
            BadInput: the plan names no stage to begin anew from.
            Refused: a run of this task is under way, which the message names, or there is none yet
                to begin anew from.
        """
        if plan.fresh_from not in (None, *STAGES):
            raise BadInput(f"stage {plan.fresh_from!r}: there are {', '.join(STAGES)}", "from")
        records, now = self._shop.records, self._shop.clock.now()
        # One look at the runs for both: whoever sees another begun by then refuses, and whoever
        # does not takes its number, and the store refuses.
        known = list(everything(records, Run, {"task": task}))
        runs.refuse_second(known)
        if plan.fresh_from not in (None, STAGES[0]) and not known:
            raise Refused(f"{task}: no run yet, so there is nothing to begin {plan.fresh_from} on")
        number = max((run.number for run in known), default=0) + 1
        run = Run(
            id=f"{task}#{number}",
            task=task,
            number=number,
            trigger=trigger,
            initiator=initiator,
            plan=msgspec.to_builtins(plan),
            environment=dict(self._shop.environment),
            status=FIRST_RUN_STATUS,
            at=now,
        )
        body = {
            name: value
            for name, value in msgspec.to_builtins(run).items()
            if name not in ("status", "ended_at", "error")
        }
        try:
            record(records, [("run", body)], append=[run], now=now)
        except Conflict:
            runs.refuse_second(everything(records, Run, {"task": task}))
            raise
        return run

    def take(self, run: Run) -> InHand:
        """Take the right to carry out a run.

        Raises:
            Refused: the run has ended, or another process carries it out.
        """
        runs.refuse_ended(run)
        name, now = f"run:{run.task}", self._shop.clock.now()
        lease = self._shop.records.lease(name, self._holder, now, self._ttl)
        if lease is None:
            raise Refused(
                f"run {run.id} is being carried out by another process; see: "
                f"greenlight runs show '{run.id}'"
            )
        try:  # whoever had the lease before may have ended the run
            run = self._shop.records.get(Run, run.id) or run
            runs.refuse_ended(run)
        except Refused:
            self._shop.records.lease(name, self._holder, now, 0)
            raise
        return InHand(self._shop, run, lease, self._ttl)

    def abort(self, name: str) -> Run:
        """Ask for the end of a run; clean up at once if nobody is carrying it out.

        Raises:
            NotFound: no such run.
            Refused: it has ended already.
        """
        records = self._shop.records
        run = records.get(Run, name)
        if run is None:
            raise NotFound(f"run {name!r}: no such id; see: greenlight runs list")
        runs.refuse_ended(run)
        if run.status is not RunStatus.ABORTING:
            run = runs.move(records, run, Event.ABORT, now=self._shop.clock.now())
        try:
            hand = self.take(run)
        except Refused:  # whoever carries it out will see to it
            return run
        left = hand.cancel()
        try:
            hand = self.take(run)  # the lease may have run out meanwhile
        except Refused:
            return run
        hand.clean_up(left)
        hand.let_go()
        return hand.run


class InHand:
    """A run that this process carries out. `beat` is to be called every few seconds meanwhile."""

    def __init__(self, shop: Workshop, run: Run, lease: Lease, ttl: int) -> None:
        self.run = run
        self._shop = shop
        self._lease = lease
        self._ttl = ttl
        self._plan = msgspec.convert(run.plan, Plan)
        self._told = shop.records.get(RunProgress, run.id)
        told = self._told
        self._stage, self._share, self._words = (
            (STAGES[0], 0.0, "") if told is None else (told.stage, told.share, told.words)
        )
        self._peak = 0 if told is None else told.peak_memory
        self._ending: GreenlightError | None = None
        self._beating = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where this run keeps what is half made."""
        return Path(self._shop.workdir, self.run.id.replace("#", "-"))

    def beat(self) -> None:
        """Renew the lease, say how far the run is, and see whether somebody wants it to end.

        Safe to call from another thread than the one that carries out the run.
        """
        with self._beating:
            self._renew()
            self._tell()

    def carry_out(self, progress: Progress) -> Turn:
        """Do every stage that is not done yet, and end the run.

        Args:
            progress: told the share done of the stage at hand, and what is being done.

        Raises:
            Aborted: somebody asked for its end; it is cleared away.
            LostLease: another process carries it out now; this one left everything as it was.
            GreenlightError, OSError: the run has failed and says why; what its finished stages
                made stays, and the next run takes it over.
        """
        if self.run.status is RunStatus.ABORTING:
            self.clean_up(self.cancel())
            raise Aborted(f"run {self.run.id} was aborted")

        def carry(
            stage: str,
            given: Mapping[str, Any],
            work: Callable[[Step, Progress, str], StageResult],
        ) -> StageResult:
            return self._carry(stage, given, work, progress)

        try:
            made = turn(self._shop, self.run, carry)
            self._end(Event.FINISH)
        except Aborted as ended:
            self.clean_up(ended.left)
            raise
        except LostLease:
            raise
        except Exception as error:
            self._end(Event.FAIL, pii.withheld(str(error)) or type(error).__name__)
            raise
        if self.run.status is RunStatus.ABORTED:
            raise Aborted(f"run {self.run.id} was aborted")
        return msgspec.structs.replace(made, run=self.run)

    def let_go(self) -> None:
        """Give the lease back, so that nobody waits for it to run out."""
        with self._beating:
            self._tell()
            now = self._shop.clock.now()
            self._shop.records.lease(self._lease.name, self._lease.holder, now, 0)

    def clean_up(self, left: str | None = None) -> Run:
        """End a run whose end was asked for, and clear away what it had half made but `left`."""
        self.run = self._current()
        return self._end(Event.CLEAN_UP, left)

    def cancel(self) -> str | None:
        """End what a killed training left going on somewhere else; why it does so all the same."""
        plan = self._plan
        return cancel(lambda: self._shop.trainer(plan.backend), self.folder / "train", plan.options)

    def _carry(
        self,
        stage: str,
        given: Mapping[str, Any],
        work: Callable[[Step, Progress, str], StageResult],
        progress: Progress,
    ) -> StageResult:
        records = self._shop.records

        def told(share: float, words: str) -> None:
            self._note(stage, share, words)
            progress(share, words)

        told(0.0, stage)
        for attempt in range(ATTEMPTS):
            done = records.get(StageResult, self.run.id, stage)
            if done is not None:
                return done
            step = Step(
                run=self.run.id,
                task=self.run.task,
                stage=stage,
                inputs=self._inputs(stage, given),
                started_at=self._shop.clock.now(),
                fence=self._lease,
            )
            prior = self._prior(step)
            try:
                if prior is not None:
                    return self._take_over(step, prior)
                return work(step, told, self._empty_folder(stage))
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _inputs(self, stage: str, given: Mapping[str, Any]) -> str:
        # Of this process and not of the one that began the run: between them there may have been
        # a release, and what its code makes must not be taken for what the old code would make.
        names = ("code", "packages", "platform")
        environment = {name: self._shop.environment.get(name) for name in names}
        return fingerprint.digest({"stage": stage, "given": dict(given), **environment})

    def _prior(self, step: Step) -> StageResult | None:
        """The newest result of an earlier run that stands for this stage's, if there is one."""
        fresh = self._plan.fresh_from
        if fresh is not None:
            before = [stage for stage in STAGES[: STAGES.index(fresh)] if stage in MADE]
            made = runs.made_before(self._shop.records, self.run, before, self._is_there)
            return made.get(step.stage)
        if step.stage not in TAKEN_OVER:
            return None
        where = {"name": step.stage, "inputs": step.inputs}
        found = everything(self._shop.records, StageResult, where)
        there = [prior for prior in found if prior.task == step.task and self._is_there(prior)]
        return max(there, key=lambda prior: prior.at, default=None)

    def _is_there(self, prior: StageResult) -> bool:
        shop = self._shop
        shelves = {"collect": shop.raw, "curate": shop.processed, "train": shop.bundles}
        return runs.is_there(shelves, prior)

    def _take_over(self, step: Step, prior: StageResult) -> StageResult:
        # Under the inputs that it was made of, which `fresh_from` does not ask for: nobody may
        # find it under others.
        return finish(
            self._shop.records,
            msgspec.structs.replace(step, inputs=prior.inputs),
            prior.output,
            prior.report,
            now=self._shop.clock.now(),
            reused=prior.reused or prior.run,
        )

    def _empty_folder(self, stage: str) -> str:
        """A folder of the stage's own; what a killed process left there goes."""
        folder = self.folder / stage
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return str(folder)

    def _note(self, stage: str, share: float, words: str) -> None:
        """Called between pieces of work: the place where a run ends before its time."""
        self._stage, self._share, self._words = stage, share, words
        if self._ending is not None:
            raise self._ending

    def _renew(self) -> None:
        now = self._shop.clock.now()
        lease = self._shop.records.lease(self._lease.name, self._lease.holder, now, self._ttl)
        if lease is None or lease.token != self._lease.token:
            self._ending = LostLease(
                f"run {self.run.id}: this process was silent for too long and another one goes on"
            )
        elif self._current().status is RunStatus.ABORTING:
            self._ending = Aborted(f"run {self.run.id} was aborted")

    def _tell(self) -> None:
        memory = self._shop.memory()
        self._peak = max(self._peak, memory)
        told = RunProgress(
            run=self.run.id,
            task=self.run.task,
            stage=self._stage,
            share=min(max(self._share, 0.0), 1.0),
            words=self._words,
            memory=memory,
            peak_memory=self._peak,
            at=self._shop.clock.now(),
        )
        try:
            if self._told is None:
                self._shop.records.commit(append=[told])
            else:
                self._shop.records.commit(swap=[(self._told, told)])
            self._told = told
        except Conflict:  # another process carries the run out now, and tells of it
            self._told = self._shop.records.get(RunProgress, self.run.id)

    def _current(self) -> Run:
        run = self._shop.records.get(Run, self.run.id)
        return self.run if run is None else run

    def _end(self, event: Event, error: str | None = None) -> Run:
        """Close the run. If somebody has asked for its end meanwhile, that is how it ends."""
        for attempt in range(ATTEMPTS):
            run = self._current()
            if run.status not in runs.UNDER_WAY:
                raise LostLease(f"run {run.id} was ended by another process: it is {run.status}")
            with self._beating:
                self._renew()
            if isinstance(self._ending, LostLease):  # the folder is another's now
                raise self._ending
            shutil.rmtree(self.folder, ignore_errors=True)
            now = self._shop.clock.now()
            what = Event.CLEAN_UP if run.status is RunStatus.ABORTING else event
            try:
                self.run = runs.move(
                    self._shop.records, run, what, now=now, error=error, fence=self._lease
                )
                return self.run
            except Conflict:  # somebody asked for its end just now
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")
