"""A/A by simulation: how often does the demo promote or roll back a candidate that is no different?

    python -m benchmarks.aa --seeds 200

Every seed is a whole rollout under the demo's own policy and traffic: the real store, the real
controller, simulated users. Promotions must stay within α_superiority and rollbacks within
α_harm, each plus three standard errors.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks.harness import provenance, save
from greenlight import config
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import MILLISECOND, SECOND, Rollout, Version
from greenlight.core.states import VersionStatus
from greenlight.entrypoints.demo.project import TASK, Bar, write_config
from greenlight.stages import roll_out
from greenlight.stages.loop import lead, reconcile
from greenlight.testing import FakeClock
from greenlight.testing.world import Quality, World, WorldSimulator

GOOD = 0.897
"""Accuracy of the demo's v1 in the design's trial: both arms are right this often."""
LOOK = 250 * MILLISECOND


def demo_policy() -> DecisionPolicy:
    """The policy that `greenlight demo` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_config(
            Path(folder), {}, "sample", Bar(backend="tfidf-linear", accuracy=0.5), 8400
        )
        return config.load(path, {}).task(TASK).policy


def outcome(seed: int) -> str:
    """How the A/A rollout of this seed ended."""
    rng = np.random.default_rng(seed)
    policy, store, clock = demo_policy(), MemoryStore(), FakeClock()
    version = Version(
        digest="sha256:same",
        task=TASK,
        label="intent@1",
        bundle="sha256:same",
        runtime={"kind": "in_process"},
        lineage={},
        initiator="bench",
        status=VersionStatus.APPROVED,
        at=0,
    )
    store.commit(append=[version])

    def authorise(_: object) -> None:
        """Approvals are not what is tested here."""

    roll_out.go_live(
        store,
        version,
        authorise=authorise,
        initiator="bench",
        now=clock.now(),
        random=rng.bytes,
    )
    clock.advance(SECOND)
    live = store.scan(Version)[0]
    rollout = roll_out.start(
        store,
        live,
        policy=policy,
        authorise=authorise,
        initiator="bench",
        aa=True,
        now=clock.now(),
        random=rng.bytes,
    )
    world = WorldSimulator(store, clock, TASK, {live.digest: Quality(good=GOOD)}, World(), rng)
    while roll_out.active(store, TASK) is not None:
        world.tick(LOOK)
        now = clock.now()
        fence = lead(store, "bench", now)
        reconcile(store, TASK, authorise=authorise, fence=fence, now=now, random=rng.bytes)
    return store.scan(Rollout, {"id": rollout.id})[0].status.value


def main() -> None:
    """Run the seeds and write the result."""
    began = provenance()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    policy = demo_policy()
    with ProcessPoolExecutor(given.workers) as pool:
        runs = pool.map(outcome, range(1, given.seeds + 1))
        ends = Counter(track(runs, "A/A rollouts", total=given.seeds))
    limits = {
        "promoted": policy.evidence.alpha_superiority,
        "rolled_back": policy.evidence.alpha_harm,
    }
    bounds = {
        end: alpha + 3 * math.sqrt(alpha * (1 - alpha) / given.seeds)
        for end, alpha in limits.items()
    }
    shares = {end: ends[end] / given.seeds for end in limits}
    kept = {end: shares[end] <= bound for end, bound in bounds.items()}
    numbers = {
        "seeds": given.seeds,
        "good": GOOD,
        "ends": dict(ends),
        "share": shares,
        "alpha": limits,
        "bound": bounds,
        "kept": kept,
        "policy": policy.digest,
    }
    print(numbers)
    save("aa", began, numbers)


if __name__ == "__main__":
    main()
