"""A mirror in memory, which can be away, refuse things, and be killed in the middle."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from greenlight.core.mirroring import MirroredRun, MirroredVersion
from greenlight.ports.mirror import NotMirrored


class FakeMirror:
    """Holds what it is given, and writes down every call.

    `before` is called with the name of what is about to be put there; whatever it raises ends the
    call, as an outage or a kill would.
    """

    name = "mlflow"

    def __init__(self, before: Callable[[str], None] = lambda _: None) -> None:
        self.before = before
        self.calls: list[str] = []
        self.runs: dict[str, MirroredRun] = {}
        self.versions: dict[str, MirroredVersion] = {}
        self.aliases: dict[str, dict[str, str]] = {}

    def put_run(self, run: MirroredRun) -> bool:
        """See `ports.mirror.Mirror.put_run`."""
        self._called(run.named.id)
        changed = self.runs.get(run.named.id) != run
        self.runs[run.named.id] = run
        return changed

    def put_version(self, version: MirroredVersion) -> bool:
        """See `ports.mirror.Mirror.put_version`."""
        self._called(version.label)
        changed = self.versions.get(version.digest) != version
        self.versions[version.digest] = version
        return changed

    def put_aliases(self, task: str, aliases: Mapping[str, str | None]) -> bool:
        """See `ports.mirror.Mirror.put_aliases`."""
        self._called(f"aliases of {task}")
        for digest in aliases.values():
            if digest is not None and digest not in self.versions:
                raise NotMirrored(f"{task}: no version {digest}", retry=False)
        borne = {alias: digest for alias, digest in aliases.items() if digest is not None}
        changed = self.aliases.get(task, {}) != borne
        self.aliases[task] = borne
        return changed

    def check(self) -> str:
        """See `ports.mirror.Mirror.check`."""
        self._called("check")
        return "in memory"

    def _called(self, what: str) -> None:
        self.before(what)
        self.calls.append(what)
