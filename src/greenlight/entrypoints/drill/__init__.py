"""`greenlight drill`: a rehearsed fault in a real canary, which must end in rollback (O6).

By default everything is the drill's own (`rehearsal`): an installation with the task's policy, and
users who are made for it. With `--live` it is the running installation and its users
(`before_users`).
"""

from __future__ import annotations

from greenlight.entrypoints.drill.before_users import NotYet, before_users
from greenlight.entrypoints.drill.options import Options
from greenlight.entrypoints.drill.papers import show
from greenlight.entrypoints.drill.rehearsal import rehearse

__all__ = ["NotYet", "Options", "before_users", "rehearse", "show"]
