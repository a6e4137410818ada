"""The pages of sign-off: what waits for people, and one version with the form to decide on it.

A decision goes the way of `greenlight approve` and is refused for the same reasons. It names the
evaluation that was on the page, so that nobody signs what they have not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

import msgspec

from greenlight.core.approval import ADOPTION, REVOKE, Quorum
from greenlight.core.errors import BadInput, Conflict, Refused
from greenlight.core.gates import GateResult
from greenlight.core.records import Approval, Version
from greenlight.core.states import VersionStatus
from greenlight.dashboard.http import Answer, Page, Redirect, Request
from greenlight.dashboard.people import Door, Session
from greenlight.serving.http import fault_of

PATH = "/approvals"
MOST = 20
"""Versions listed of those that wait for nobody."""

_SPOKEN = {"approve": "approved", "reject": "rejected", "revoke": "took back their word on"}
_EARLIER = (VersionStatus.REGISTERED, VersionStatus.GATED_OUT)
"""People are not asked yet."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A version, and how its sign-off stands."""

    version: Version
    evaluation: str | None
    """The evaluation that is up for a decision; None where none has passed its gates."""
    gates: Sequence[GateResult]
    """What the gates said of it."""
    warnings: Sequence[str]
    """What it warns of."""
    quorum: Quorum
    words: Sequence[Approval]
    """Everything that was said, the oldest first."""
    initiators: Sequence[str]
    """Who brought the version about and has no say."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has sent."""

    decision: str
    why: str
    evaluation: str | None


class SignOff(msgspec.Struct, frozen=True, kw_only=True):
    """What these pages ask of an installation."""

    versions: Callable[[], Sequence[Version]]
    """Those of the tasks that there are, the newest first."""
    standing: Callable[[Version], Quorum]
    case: Callable[[str], Case]
    """Of a version by its label or digest; raises NotFound."""
    decide: Callable[[Session, Version, Decided], Approval]
    """Signs and records; raises BadInput or Refused."""


class Approvals:
    """Answers for `/approvals` and `/approvals/{label}`."""

    def __init__(self, office: SignOff, door: Door) -> None:
        """Know whom to ask, and who is signed in."""
        self._office = office
        self._door = door

    def all(self, request: Request) -> Answer:
        """GET: what waits, with all that a decision takes; then what has been decided on."""
        versions = self._office.versions()
        waiting = [v for v in versions if v.status is VersionStatus.EVALUATED]
        others = [v for v in versions if v.status not in (VersionStatus.EVALUATED, *_EARLIER)]
        values = {
            "cases": [self._office.case(version.digest) for version in waiting],
            "others": [(v, str(self._office.standing(v))) for v in others[:MOST]],
            "left_out": max(0, len(others) - MOST),
            "adoption": ADOPTION,
        }
        return Page("approvals.html", values)

    def one(self, request: Request) -> Answer:
        """GET: one version."""
        return self._page(self._office.case(request.query["label"]))

    def decide(self, request: Request) -> Answer:
        """POST: somebody's word on one version; what is refused stays on the page."""
        session = self._door.signed_in(request)
        case = self._office.case(request.query["label"])
        decision = request.form.get("decision", "")
        given = Decided(
            decision=decision,
            why=request.form.get("why", ""),
            # Who takes back a word takes back their last one, whatever it was on.
            evaluation=None if decision == REVOKE else request.form.get("evaluation") or None,
        )
        try:
            _check_seen(case, given)
            word = self._office.decide(session, case.version, given)
        except (BadInput, Refused, Conflict) as error:
            return self._page(case, given, str(error), fault_of(error)[0])
        label = case.version.label
        session.notice = f"{word.person} {_SPOKEN[word.decision]} {label}."
        return Redirect(f"{PATH}/{quote(label)}")

    def _page(
        self, case: Case, given: Decided | None = None, fault: str = "", status: int = 200
    ) -> Page:
        values = {"case": case, "given": given, "fault": fault, "adoption": ADOPTION}
        return Page("approval.html", values, status)


def _check_seen(case: Case, given: Decided) -> None:
    """Nobody signs what was not on their page.

    Raises:
        Refused: another evaluation counts by now.
    """
    if given.decision != REVOKE and given.evaluation != case.evaluation:
        raise Refused(
            f"another evaluation of {case.version.label} counts now than the one that you were "
            "shown: read this one, and decide again"
        )
