"""TensorZero's gateway over HTTP, from its wheel; runs with the Python of its venv.

tensorzero_gateway.py CONFIG
"""

from __future__ import annotations

import signal
import sys

from tensorzero import tensorzero  # type: ignore[import-not-found]

# Private, and the only way to the gateway without a container; hence the pinned release.
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1],
    clickhouse_url=None,
    postgres_url=None,
    valkey_url=None,
    async_setup=False,
)
print(gateway.base_url, flush=True)
signal.pause()
