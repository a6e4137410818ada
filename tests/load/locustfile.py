"""Users of one task, for Locust: so many requests a second, as long as answers come in time.

Told by the environment (`tests.load.run` does so): LOAD_TASK, LOAD_PACE (requests a second of one
user), LOAD_PATIENCE (seconds), LOAD_SAMPLES (the file that gets a line for each request) and, where
the gateway wants a key, GREENLIGHT_API_KEY.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task

TEXTS = (
    "where is my card?",
    "my top-up has not arrived",
    "the exchange rate you applied was wrong",
    "how do I change my PIN?",
    "somebody paid with my card in another country",
)
UNITS = 1000
PATIENCE = float(os.environ["LOAD_PATIENCE"])
TASK = os.environ["LOAD_TASK"]
KEY = os.environ.get("GREENLIGHT_API_KEY")
LUCK = random.Random(2025)
SAMPLES = os.open(os.environ["LOAD_SAMPLES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


class Caller(FastHttpUser):
    """Asks at its pace."""

    wait_time = constant_throughput(float(os.environ["LOAD_PACE"]))
    network_timeout = PATIENCE
    connection_timeout = PATIENCE
    max_retries = 0

    @task
    def predict(self) -> None:
        """One prediction for one of many units."""
        body = {"input": LUCK.choice(TEXTS), "unit": f"user-{LUCK.randrange(UNITS)}"}
        headers = {"authorization": f"Bearer {KEY}"} if KEY else None
        self.client.post(f"/v1/tasks/{TASK}/predict", json=body, headers=headers, name="predict")


@events.request.add_listener
def _sampled(response_time: float, response: Any, start_time: float, **_: Any) -> None:
    status = getattr(response, "status_code", 0) or 0
    version = (getattr(response, "headers", None) or {}).get("x-greenlight-version", "")
    sample = {"at": start_time, "ms": response_time, "status": status, "version": version}
    os.write(SAMPLES, json.dumps(sample).encode() + b"\n")
