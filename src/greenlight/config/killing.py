"""[kill]: where the kill switch is."""

from __future__ import annotations

from collections.abc import Iterable

from greenlight.core.policy import Policy


class KillSettings(Policy, frozen=True, kw_only=True):
    """[kill]: the switch that takes a candidate out of traffic with everything else down."""

    file: str = ".greenlight/kill.json"
    """The file of the kill switch, which every gateway and the controller must see
    (docs/how-to/kill-switch.md). A relative path starts at the folder of `greenlight.toml`."""

    def problems(self) -> Iterable[str]:
        if not self.file.strip():
            yield "file: no file; leave the setting out for .greenlight/kill.json"
