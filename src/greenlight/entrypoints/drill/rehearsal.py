"""A drill with traffic made for it, in an installation of its own (`house`)."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from greenlight import wiring
from greenlight.core import drill, ids
from greenlight.core.errors import GreenlightError, Refused
from greenlight.core.records import SECOND, Inference, Version
from greenlight.entrypoints.drill.course import Course
from greenlight.entrypoints.drill.house import INITIATOR, House, facts
from greenlight.entrypoints.drill.options import (
    Held,
    Options,
    limit_of,
    refuse_other_kinds,
    warning,
)
from greenlight.entrypoints.drill.papers import file
from greenlight.entrypoints.processes import Processes
from greenlight.entrypoints.showing import Stage
from greenlight.lookup import find_version, newest_prepared
from greenlight.stages.roll_out import ENOUGH
from greenlight.wiring.drilling import ENOUGH_JUDGED
from greenlight.wiring.retention import DRILLS

WARM_WITHIN_S = 60.0
"""Seconds that control may take to answer and to be judged often enough before the fault comes."""
DELAY_S = 0.4
"""Seconds to a judgement, on average."""
_PAUSE_S = 0.2
_TRAFFIC = "traffic"


def rehearse(real: wiring.App, options: Options) -> dict[str, Any]:
    """Hold a drill in an installation of its own.

    Args:
        real: the installation whose task is rehearsed; its traffic is not touched.
        options: how.

    Returns:
        What it came to, as it went on the real installation's ledger.

    Raises:
        Refused: the task or its live version cannot be rehearsed like this.
        GreenlightError: a part of the drill's own installation did not do what it must.
    """
    refuse_other_kinds(real.settings, options.task)
    id = ids.fresh(real.clock.now(), real.random)
    folder = real.settings.state / DRILLS / id
    stage = Stage(options.quiet)
    try:
        house = House(real, options.task, folder, stage)
        record = _Rehearsal(real, id, options, house, stage).hold()
    except (KeyboardInterrupt, Refused):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except GreenlightError:
        stage.warn(f"what is left of the drill lies in {folder}")
        raise
    if record["passed"] and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        stage.warn(f"the drill's own installation is kept in {folder}")
    return record


class _Rehearsal:
    """One rehearsal: its installation and what runs in it."""

    def __init__(
        self, real: wiring.App, id: str, options: Options, house: House, stage: Stage
    ) -> None:
        self._real = real
        self._id = id
        self._options = options
        self._house = house
        self._stage = stage

    def hold(self) -> dict[str, Any]:
        """Furnish the installation, let it run, and file what came of it."""
        task, house = self._options.task, self._house
        self._stage.headline(f"{task}: a drill in an installation of its own")
        with house.app() as app:
            control = house.furnish(app)
        with Processes(house.folder / "logs") as processes, house.app() as app:
            candidate = self._faulty(app)
            self._open(processes, app)
            self._warm_up(app, processes)
            return self._play(app, processes, control, candidate)

    def _faulty(self, app: wiring.App) -> Version:
        """The faulty candidate, evaluated and approved as any other."""
        options = self._options
        made = wiring.add_drill(
            app, options.task, options.fault, options.intensity, initiator=INITIATOR
        )
        with self._stage.progress(made.label) as progress:
            failed = wiring.judge_for_drill(app, made, progress)
        if failed is not None:
            raise GreenlightError(f"{made.label} did not pass its gates: {failed}")
        self._house.approve(app, made)
        self._stage.say(f"{made.label}: {drill.told(made.runtime)}; evaluated, approved")
        return find_version(app.store, made.digest)

    def _open(self, processes: Processes, app: wiring.App) -> None:
        """Gateway, controller, and users."""
        options, house = self._options, self._house
        here = ("--config", str(house.file))
        processes.start("gateway", "greenlight.entrypoints.cli", *here, "gateway")
        processes.start("controller", "greenlight.entrypoints.cli", *here, "controller")
        processes.await_ready("gateway", f"{house.url}/readyz")
        dataset = newest_prepared(app.store, options.task)
        assert dataset is not None
        queries = Path(app.datasets.path(dataset.digest), "test.jsonl")
        processes.start(
            _TRAFFIC,
            "greenlight.entrypoints.traffic",
            *("--gateway", house.url, "--task", options.task, "--queries", str(queries)),
            *("--rate", str(options.rate), "--seed", str(options.seed)),
            *("--mean-delay", str(DELAY_S)),
        )
        self._stage.say(
            f"gateway on {house.url}, a controller, and 9,000 users who ask {options.rate:g} times "
            "a second and judge 60% of the answers within a second or two"
        )

    def _warm_up(self, app: wiring.App, processes: Processes) -> None:
        """Wait until control is known well enough to be compared with."""
        store, task = app.store, self._options.task
        until = time.monotonic() + WARM_WITHIN_S
        answered = judged = 0
        while time.monotonic() < until:
            processes.check()
            answered = len(store.scan(Inference, {"task": task}, limit=ENOUGH))
            now = app.clock.now()
            judged = len(store.answers(task, since=0, until=now, limit=ENOUGH_JUDGED))
            if answered == ENOUGH and judged == ENOUGH_JUDGED:
                return
            time.sleep(_PAUSE_S)
        raise GreenlightError(
            f"in {WARM_WITHIN_S:.0f} s users were answered {answered} times and judged {judged} "
            f"answers, {ENOUGH} and {ENOUGH_JUDGED} are needed: raise --rate, and see "
            f"{self._house.folder / 'logs'}"
        )

    def _play(
        self, app: wiring.App, processes: Processes, control: Version, candidate: Version
    ) -> dict[str, Any]:
        options, stage = self._options, self._stage
        rollout, declared = wiring.start_drill(
            app, candidate, initiator=INITIATOR, trigger=options.trigger
        )
        within = limit_of(options, rollout, live=False)
        stage.headline(f"the fault comes: all traffic must be back within {within / SECOND:g} s")
        if declared:
            stage.warn(warning(options.task, declared))
        course = Course(
            app,
            rollout,
            within=within,
            secret=self._house.secret,
            stage=stage,
            check=processes.check,
        )
        course.run()
        traffic = json.loads(processes.stop(_TRAFFIC))
        found = course.findings(user_errors=traffic["failed"])
        held = Held(
            id=self._id,
            task=options.task,
            bundle=control.bundle,
            label=control.label,
            options=options,
            live=False,
            rollout=rollout.id,
            within=within,
            found=found,
            failure=drill.failure(found, options.what, options.trigger, within),
            declared=declared,
            facts=facts(self._house),
            traffic=traffic,
        )
        return file(self._real, app, rollout, held, stage)
