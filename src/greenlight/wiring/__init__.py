"""The composition root: the only place that knows which adapter stands behind which port.

Nothing is opened at import time, and libraries that take long to load are loaded by the function
that needs them: `greenlight status` does not wait for a model runtime.
"""

from __future__ import annotations

from greenlight.stages.evaluate import MEASURED
from greenlight.stages.mirror import Step as MirrorStep
from greenlight.wiring.admin import newest_runs
from greenlight.wiring.aftermath import attend, write_evidence
from greenlight.wiring.app import (
    App,
    authorise,
    new_person,
    open_app,
    person_of,
    public_key,
    sign_off,
    standing,
)
from greenlight.wiring.audit import (
    Verification,
    export_ledger,
    signed_head,
    verify_export,
    verify_ledger,
)
from greenlight.wiring.caching import open_cache
from greenlight.wiring.control import DeploymentManager
from greenlight.wiring.data import (
    export_rows,
    import_file,
    label_answer,
    load_public,
    relabel_queue,
)
from greenlight.wiring.drilling import (
    add_drill,
    add_to_incident,
    drills,
    file_drill,
    judge_for_drill,
    measure_drill,
    start_drill,
)
from greenlight.wiring.evaluating import (
    compare_versions,
    evaluation_of,
    measure_parts,
    seal_evaluation,
    warnings_of,
)
from greenlight.wiring.keys import check_exposed, create_key, revoke_key
from greenlight.wiring.killing import Killed, kill, kill_faults, within
from greenlight.wiring.ledger import Random, new_ledger_key
from greenlight.wiring.logs import held_log
from greenlight.wiring.mirroring import Mirroring, mirror_backlog, open_mirroring
from greenlight.wiring.mirroring import sync as sync_mirror
from greenlight.wiring.notifying import (
    Channel,
    Trial,
    backlogs,
    deliver,
    open_channels,
    try_channel,
)
from greenlight.wiring.papers import write_card, write_pilot
from greenlight.wiring.pipeline import find_encoder, open_pipeline, turn
from greenlight.wiring.registry import Origin, add_version, adopt
from greenlight.wiring.retention import erasure_order, look_for, mentions, purge
from greenlight.wiring.scoping import measure_scope
from greenlight.wiring.serving import build_gateway
from greenlight.wiring.worker import times, work

__all__ = [
    "MEASURED",
    "App",
    "Channel",
    "DeploymentManager",
    "Killed",
    "MirrorStep",
    "Mirroring",
    "Origin",
    "Random",
    "Trial",
    "Verification",
    "add_drill",
    "add_to_incident",
    "add_version",
    "adopt",
    "attend",
    "authorise",
    "backlogs",
    "build_gateway",
    "check_exposed",
    "compare_versions",
    "create_key",
    "deliver",
    "drills",
    "erasure_order",
    "evaluation_of",
    "export_ledger",
    "export_rows",
    "file_drill",
    "find_encoder",
    "held_log",
    "import_file",
    "judge_for_drill",
    "kill",
    "kill_faults",
    "label_answer",
    "load_public",
    "look_for",
    "measure_drill",
    "measure_parts",
    "measure_scope",
    "mentions",
    "mirror_backlog",
    "new_ledger_key",
    "new_person",
    "newest_runs",
    "open_app",
    "open_cache",
    "open_channels",
    "open_mirroring",
    "open_pipeline",
    "person_of",
    "public_key",
    "purge",
    "relabel_queue",
    "revoke_key",
    "seal_evaluation",
    "sign_off",
    "signed_head",
    "standing",
    "start_drill",
    "sync_mirror",
    "times",
    "try_channel",
    "turn",
    "verify_export",
    "verify_ledger",
    "warnings_of",
    "within",
    "work",
    "write_card",
    "write_evidence",
    "write_pilot",
]
