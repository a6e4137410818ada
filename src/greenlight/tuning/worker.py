"""The process that trains, so that the server answers meanwhile and never loads scikit-learn.

It reads orders from its standard input, a line of JSON each, and writes what happens to its
standard output (`orders.Said`). It ends at once when its input does, which it does however the
server ends.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from io import RawIOBase

import msgspec

from greenlight.core.errors import GreenlightError
from greenlight.tuning.conversations import Unfit
from greenlight.tuning.learning import Tell, learn
from greenlight.tuning.orders import Order, Said
from greenlight.tuning.wire import JobError


def main() -> None:
    """Carry out orders until there are no more."""
    # Libraries may print; what they print is no line of ours.
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    orders: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read, args=(orders,), daemon=True).start()
    while True:
        order = msgspec.json.decode(orders.get(), type=Order)
        _say(out, _carry_out(order, lambda told: _say(out, Said(told=told))))


def _read(orders: queue.Queue[bytes]) -> None:
    for line in sys.stdin.buffer:
        orders.put(line)
    os._exit(0)  # nobody is left to train for


def _carry_out(order: Order, tell: Tell) -> Said:
    try:
        return Said(learnt=learn(order, tell))
    except Unfit as unfit:
        return Said(error=unfit.error)
    except (GreenlightError, OSError, MemoryError) as error:
        return Said(error=JobError(code="server_error", message=f"training failed: {error}"))


def _say(out: RawIOBase, said: Said) -> None:
    out.write(msgspec.json.encode(said) + b"\n")
