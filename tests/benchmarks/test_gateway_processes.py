"""What the gateway benchmark reads of /proc, and how it starts and ends servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gateway.processes import (
    NotMeasured,
    Process,
    cores,
    cpu_seconds,
    pinned,
    resident_mb,
    settled,
    tree,
)

BURNT_S = 0.3
BURNS = f"""
import sys, time
while time.process_time() < {BURNT_S}:
    pass
print("burnt", flush=True)
sys.stdin.read()
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-S", "-c", {BURNS!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
child.stdout.readline()
print("burnt", flush=True)
sys.stdin.readline()
child.communicate()
print("ended", flush=True)
sys.stdin.read()
"""
"""Its child burns a known amount of CPU, and ends later than it is looked at first."""


def test_the_cpu_of_a_child_counts_while_it_runs_and_when_it_has_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        assert parent.stdout.readline() == "burnt\n"
        assert len(tree(parent.pid)) == 2
        running = cpu_seconds(parent.pid)
        # A tick is 10 ms; what the parent and the two interpreters' starts take comes on top.
        assert BURNT_S - 0.02 <= running <= 2 * BURNT_S
        assert resident_mb(parent.pid) > resident_mb(os.getpid()) / 100
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "ended\n"
        assert tree(parent.pid) == [parent.pid]
        assert running - 0.02 <= cpu_seconds(parent.pid) <= running + BURNT_S
        assert settled(parent.pid) >= running - 0.02


def test_what_is_started_pinned_stays_on_its_core() -> None:
    before = os.sched_getaffinity(0)
    _, core = cores()
    with pinned(core):
        made = subprocess.run(
            [sys.executable, "-S", "-c", "import os; print(os.sched_getaffinity(0))"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert made.stdout == f"{{{core}}}\n"
    assert os.sched_getaffinity(0) == before


def test_a_server_is_paused_and_ended_with_its_children(tmp_path: Path) -> None:
    said = "print('http://here', flush=True); import signal; signal.pause()"
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {said!r}])"
    process = Process([sys.executable, "-c", inner], core=cores()[1], log=tmp_path / "log")
    assert process.said("http://", within=30) == "http://here"
    everybody = tree(process.pid)
    assert len(everybody) == 2
    process.pause()
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP
    process.end()
    assert not Path(f"/proc/{everybody[0]}").exists()
    with pytest.raises(NotMeasured, match="it ended with"):
        process.check()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such module')"]
    process = Process(command, core=cores()[1], log=tmp_path / "log")
    try:
        with pytest.raises(NotMeasured, match="it ended with 1: no such module"):
            process.said("http://", within=30)
    finally:
        process.end()
    with pytest.raises(NotMeasured, match="No such file"):
        Process([str(tmp_path / "absent")], core=cores()[1], log=tmp_path / "log")
