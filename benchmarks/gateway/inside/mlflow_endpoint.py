"""Two weighted models behind one endpoint in MLflow's store; runs with the Python of its venv.

mlflow_endpoint.py STORE UPSTREAM NAME SHARES
"""

from __future__ import annotations

import json
import sys

from mlflow.entities import (
    GatewayEndpointModelConfig,
    GatewayModelLinkageType,
    RoutingStrategy,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

uri, upstream, name, shares = sys.argv[1:]
parts = json.loads(shares)
store = SqlAlchemyStore(uri, "artifacts")  # type: ignore[no-untyped-call]
secret = store.create_gateway_secret(
    "provider", {"api_key": "none"}, provider="openai", auth_config={"api_base": upstream}
)
store.create_gateway_endpoint(
    name,
    [
        GatewayEndpointModelConfig(
            store.create_gateway_model_definition(
                model, secret.secret_id, "openai", model
            ).model_definition_id,
            GatewayModelLinkageType.PRIMARY,
            share / sum(parts.values()),
        )
        for model, share in parts.items()
    ],
    routing_strategy=RoutingStrategy.REQUEST_BASED_TRAFFIC_SPLIT,
    usage_tracking=False,
)
