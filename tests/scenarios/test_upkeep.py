"""What is done around a running rollout: restarts, an edit of the policy, a restore from a backup,
another launch (O0, O1, G1, T2)."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import msgspec
import pytest

from greenlight import config, wiring
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core import budget, routing
from greenlight.core.errors import Refused
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import HOUR, MINUTE, SECOND, Epoch, EvidenceState, Rollout, Version
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.lookup import everything
from greenlight.stages import roll_out
from greenlight.stages.audit import audit
from greenlight.stages.loop import LEASE_TTL
from tests.cli.project import Project
from tests.scenarios.worlds import AWFUL, BRIGHT, QUICK, TASK, TICK, Quick, quick, under

SOAKING = under(
    steps=(
        msgspec.structs.replace(QUICK.rollout.steps[0], soak=8 * SECOND),
        *QUICK.rollout.steps[1:],
    )
)


def stored(it: Quick, url: str) -> None:
    """Go on with a store that is opened anew."""
    it.store.close()
    it.store = it.world._store = SqlStore(url)


def told(it: Quick) -> list[tuple[Action, str]]:
    return [(one.action, one.code) for one in it.decisions()]


def test_a_controller_that_is_restarted_while_a_split_soaks(tmp_path: Path) -> None:
    """T2: everything is closed and opened anew, and another process leads: the soak neither begins
    again nor is cut short, and what is decided is what an undisturbed one decides."""
    calm = quick(BRIGHT, policy=SOAKING, requests_per_second=40.0)
    calm.run(9 * SECOND)
    url = f"sqlite:///{tmp_path / 'greenlight.db'}"
    it = quick(BRIGHT, policy=SOAKING, store=SqlStore(url), requests_per_second=40.0)
    it.run(4 * SECOND)
    assert it.newest().code == "soaking"
    stored(it, url)
    for _ in range(5 * 4):
        it.world.tick(TICK)
        it.look(holder="another")
    assert told(it) == told(calm)
    widened = [one.at for one in it.decisions() if one.action == Action.WIDEN]
    assert widened == [one.at for one in calm.decisions() if one.action == Action.WIDEN]
    assert widened and widened[0] >= it.rollout.at + 8 * SECOND
    assert it.sound()
    it.store.close()


def test_a_gateway_that_is_restarted_while_a_split_soaks() -> None:
    """O1: it takes the split over anew, and the soak counts from there."""
    it = quick(BRIGHT, policy=SOAKING)
    it.run(6 * SECOND)
    it.world._routing = None
    again = it.clock.now()
    it.run(MINUTE, until=lambda: it.now().step == 1)
    assert it.newest().at >= again + 8 * SECOND
    assert it.sound()


def test_a_policy_that_is_edited_while_a_rollout_runs(tmp_path: Path) -> None:
    """O1: the running one keeps what was frozen at its start; the next one starts under the new."""
    project = Project(tmp_path)
    with project.opened() as (_, office):
        office.evaluated()
        office.gate(office.register(office.run("b2")), 0.96)
    for version in ("intent@1", "intent@2"):
        for who in ("ana", "ben"):
            project.ok("approve", version, "-m", "looked at it", by=who)
    project.ok("rollout", "start", "intent", "intent@1")
    project.ok("rollout", "start", "intent", "intent@2")
    [before] = project.json("rollouts", "list")
    text = project.file.read_text(encoding="utf-8")
    edited = '[tasks.intent.rollout]\nhorizon = "20d"\n[tasks.intent.approval]\nexpiry = "60d"\n'
    project.file.write_text(text + edited, encoding="utf-8")
    with wiring.open_app(config.load(project.file, {})) as app:
        decision = wiring.DeploymentManager(app).look("intent", "one")
        assert decision is not None and decision.policy_digest == before["policy_digest"]
        assert app.settings.task("intent").policy.rollout.horizon == 20 * 24 * HOUR
        running = app.store.get(Rollout, before["id"])
        assert running is not None and running.policy_digest == before["policy_digest"]
        assert running.policy["rollout"]["horizon"] == 14 * 24 * HOUR
    project.ok("rollout", "abort", "intent", "-m", "under the new policy", by="ben")
    for who in ("ana", "ben"):
        project.ok("approve", "intent@2", "-m", "once more", by=who)
    project.ok("rollout", "start", "intent", "intent@2")
    with wiring.open_app(config.load(project.file, {})) as app:
        after = roll_out.active(app.store, "intent")
        assert after is not None and after.policy_digest != before["policy_digest"]
        assert after.policy["rollout"]["horizon"] == 20 * 24 * HOUR
    project.ok("audit", "verify", "--no-files")


def again(it: Quick) -> Rollout:
    """Launch the same pair once more, signed anew."""
    candidate = next(v for v in it.store.scan(Version) if v.label == "intent@2")
    given = {
        "policy": QUICK,
        "authorise": lambda digest: None,
        "initiator": "ana",
        "now": it.clock.now(),
        "random": it.ids.bytes,
    }
    with pytest.raises(Refused, match="rolled_back cannot take 'start_rollout'"):
        roll_out.start(it.store, candidate, **given)
    signed = msgspec.structs.replace(candidate, status=VersionStatus.APPROVED)
    it.store.commit(swap=[(candidate, signed)])
    return roll_out.start(it.store, signed, **given)


def test_each_launch_of_a_pair_that_was_rolled_back_costs() -> None:
    """EVIDENCE, launches: it needs fresh signatures; launch 2 has α/6 and launch 3 α/12, a salt of
    its own and no evidence yet; and it is shown which one it is."""
    it = quick(AWFUL)
    salts = {it.rollout.salt}
    for launch, part in ((2, 6), (3, 12)):
        assert it.run(MINUTE).status == RolloutStatus.ROLLED_BACK
        it.rollout = again(it)
        policy = msgspec.convert(it.rollout.policy, DecisionPolicy)
        first = budget.thresholds(msgspec.structs.replace(policy, launch=1))
        needed = budget.thresholds(policy)
        assert policy.launch == launch
        salts.add(it.rollout.salt)
        assert f"launch {launch} of this pair" in it.newest().reason
        assert it.store.get(EvidenceState, it.rollout.id) is None
        for test in (*budget.harm_tests(policy), budget.STRONG):
            assert needed[test] - first[test] == pytest.approx(math.log(part))
        assert needed["srm"] == first["srm"], "α of trust is no α of chances"
    assert len(salts) == 3
    assert it.run(MINUTE).status == RolloutStatus.ROLLED_BACK
    assert it.newest().evidence["launch"] == 3


def careful(it: Quick) -> None:
    """Let the simulated gateway refuse what is older than what it routes by, as the real one does
    (`core.routing`)."""
    world = it.world

    def poll(now: int) -> None:
        newest, held = it.routing(), world._routing
        if held is None or routing.newer(routing.place(newest), routing.place(held)):
            world._routing, world._applied_at = newest, now

    world._poll = poll


def backup(store: MemoryStore) -> MemoryStore:
    """The store as it is now, whatever becomes of it."""
    copied = MemoryStore()
    for name, value in vars(store).items():
        if name != "_lock":
            setattr(copied, name, copy.deepcopy(value))
    return copied


@pytest.mark.parametrize("lost", [Action.WIDEN, Action.PROMOTE, Action.ROLLBACK])
def test_a_store_that_is_restored_from_a_backup(lost: Action) -> None:
    """O0, ARCHITECTURE: the backup knows nothing of the last routing, which a gateway obeys. The
    next epoch is above all that any gateway has acknowledged, so that it takes what the store says;
    nothing is followed twice, and the rollout goes on from where the backup has it."""
    it = quick(AWFUL if lost == Action.ROLLBACK else BRIGHT)
    careful(it)
    it.run(2 * SECOND)
    if lost == Action.PROMOTE:
        it.run(MINUTE, until=lambda: it.now().step == 1)
    assert isinstance(it.store, MemoryStore)
    kept = backup(it.store)
    it.run(MINUTE, until=lambda: lost in it.actions())
    it.world.tick(TICK)
    obeyed = it.world._epoch
    assert obeyed == it.routing()
    it.store = it.world._store = kept
    assert it.routing().number < obeyed.number
    it.clock.advance(LEASE_TTL)
    it.world.tick(TICK)
    assert it.world._epoch == obeyed, "what the backup says is older"
    it.look()
    it.world.tick(TICK)
    routed = it.routing()
    assert routed.number > obeyed.number and it.world._epoch == routed
    assert it.run(MINUTE).status == (
        RolloutStatus.ROLLED_BACK if lost == Action.ROLLBACK else RolloutStatus.PROMOTED
    )
    numbers = [epoch.number for epoch in everything(it.store, Epoch, {"task": TASK})]
    assert numbers == sorted(set(numbers)) and obeyed.number not in numbers
    assert it.sound()


@pytest.mark.parametrize(
    "changed",
    [{"paused": None}, {"step": 1}, {"status": RolloutStatus.PENDING}, {"ended_at": 1}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_changed_behind_the_ledgers_back_is_found(changed: dict[str, object]) -> None:
    """G5: a rollout that waited, began and was paused is what the ledger says, and nothing else."""
    policy = msgspec.structs.replace(QUICK, release_window="Fri 08:00-24:00 UTC")
    it = quick(BRIGHT, policy=policy, began=1_800_000_000 * SECOND - SECOND)
    assert it.now().status == RolloutStatus.PENDING
    it.run(3 * SECOND)
    it.order(Action.PAUSE)
    assert it.sound()
    rollout = it.now()
    assert rollout.status == RolloutStatus.RUNNING and rollout.paused is not None
    it.store.commit(swap=[(rollout, msgspec.structs.replace(rollout, **changed))])  # type: ignore[arg-type]
    assert not audit(it.store).ok
