"""The fine-tuning service on a folder, and the process that trains for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from greenlight.adapters.clock import SystemClock
from greenlight.core.errors import Refused
from greenlight.tuning import bases, faults
from greenlight.tuning.catalog import Catalog
from greenlight.tuning.runner import Runner
from greenlight.tuning.server import TuningServer
from greenlight.tuning.state import State
from greenlight.tuning.trainer import Trainer
from greenlight.wiring.keys import is_loopback

TRAINER = (sys.executable, "-m", "greenlight.entrypoints.finetune_trainer")


def build_tuning_server(
    folder: Path,
    *,
    base_models: Sequence[str] = (),
    key: str | None = None,
    encoder: bool = True,
    asked_faults: Sequence[str] = (),
    rehearsing: bool = False,
) -> TuningServer:
    """An ASGI application that fine-tunes; its lifespan starts and ends what works for it.

    Args:
        folder: where it keeps everything; it is made if it is not there.
        base_models: `NAME` or `NAME=FILE.jsonl`, beside the plain one.
        key: what opens it; without one it answers this machine alone.
        encoder: whether models are fitted with the sentence encoder, where there is one.
        asked_faults: `KIND[:TIMES][@PATH]` (`tuning.faults`).
        rehearsing: whether more faults may be asked for over HTTP.

    Raises:
        BadInput: a base model or a fault that is none.
        Refused: another server works in the folder.
    """
    named = [bases.Base(name=bases.PLAIN), *map(bases.read, base_models)]
    asked = faults.Faults(map(faults.read, asked_faults))
    folder.mkdir(parents=True, exist_ok=True)
    state = State(folder, now=SystemClock().now, random=os.urandom)
    catalog = Catalog(state, named, encoder=encoder)
    runner = Runner(state, catalog, asked, Trainer(TRAINER))
    return TuningServer(
        state, catalog, runner, key=key, faults=asked, rehearsing=rehearsing or bool(asked_faults)
    )


def check_reachable(host: str, *, keyed: bool) -> None:
    """Refuse to serve without a key at an address that others can reach.

    Raises:
        Refused: the message names the ways out.
    """
    if keyed or is_loopback(host):
        return
    raise Refused(
        f"--host {host!r} can be reached from elsewhere, and there is no key, so that everybody "
        "could read what was uploaded; name one (--key env:NAME), or listen on 127.0.0.1"
    )


def train_for_server() -> None:
    """Carry out the orders of a server until it ends (`tuning.worker`)."""
    from greenlight.tuning import worker

    worker.main()
