"""Loads what a process that trains loads, so that those forked from here need not."""

from __future__ import annotations

import openai

import tests.trainers.fitting  # noqa: F401

with openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none") as client:
    client.files.with_raw_response.list  # noqa: B018
    client.models.with_raw_response.list  # noqa: B018
    client.fine_tuning.jobs.checkpoints.with_raw_response.list  # noqa: B018
