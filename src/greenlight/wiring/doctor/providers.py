"""Models that run elsewhere: providers of chats and prompts, and model servers.

Nothing is asked that costs: a provider lists its models, a model server tells its health.
"""

from __future__ import annotations

from collections.abc import Iterator

from greenlight.core import credentials, lora_options
from greenlight.core.records import Version
from greenlight.core.states import VersionStatus
from greenlight.lookup import everything
from greenlight.wiring.doctor.asking import Answer, Silent, get
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning

SERVING = (VersionStatus.LIVE, VersionStatus.CANARY)
"""What users meet: a fault here is theirs."""

ENDED = (
    VersionStatus.REJECTED,
    VersionStatus.GATED_OUT,
    VersionStatus.ROLLED_BACK,
    VersionStatus.SHELVED,
    VersionStatus.RETIRED,
)
"""What nobody asks any more."""


def providers(subject: Subject) -> Iterator[Finding]:
    """Every address at which a version is served that is in use or may come into use."""
    if subject.store is None:
        return
    asked: set[tuple[object, ...]] = set()
    versions = sorted(
        everything(subject.store, Version), key=lambda v: (v.status not in SERVING, v.label)
    )
    for version in versions:
        kind = version.runtime.get("kind")
        place = (kind, _url(version), version.runtime.get("key"))
        if version.status in ENDED or kind not in ("http", "openai") or place in asked:
            continue
        asked.add(place)
        yield _provider(subject, version) if kind == "openai" else _server(subject, version)
    if not asked:
        yield ok("providers", "no version is served elsewhere")


def _url(version: Version) -> str:
    url = str(version.runtime.get("url", ""))
    return lora_options.address(url, version.bundle).rstrip("/")


def _provider(subject: Subject, version: Version) -> Finding:
    url = _url(version) + "/models"
    named = version.runtime.get("key")
    key = None
    if named is not None:
        key, wrong = credentials.look_up(str(named), subject.environ)
        if wrong is not None:
            return _bad(version, f"{version.label}: {wrong}", "see that the gateway has it, too")
    try:
        answer = get(url, key=key, patience=subject.patience)
    except Silent as silent:
        return _bad(version, f"{url}: {silent} ({version.label})", _REACH)
    return _judged(version, url, answer, named)


def _judged(version: Version, url: str, answer: Answer, key: object) -> Finding:
    """What a provider's answer to the question for its models means."""
    said = f"{url}: answers {answer.status} ({version.label})"
    if answer.status == 200:
        shown = "the key is accepted" if key is not None else "no key is needed"
        return ok("providers", f"{said}; {shown}, and no token was spent")
    if answer.status in (401, 403) and key is None:
        return _bad(version, f"{said}: it wants a key", "add a version with one (--key env:NAME)")
    if answer.status in (401, 403):
        return _bad(version, f"{said}: the key is refused", f"put a valid key into {key}")
    if answer.status in (404, 405, 501):
        return warning(
            "providers",
            f"{said}: it lists no models, so the key could not be tried without spending tokens",
            "ask it once yourself: greenlight predict, or a chat through the gateway",
        )
    return _bad(version, said, "see the provider's status page, and try again in a moment")


def _server(subject: Subject, version: Version) -> Finding:
    url = _url(version) + "/healthz"
    try:
        answer = get(url, patience=subject.patience)
    except Silent as silent:
        return _bad(version, f"{url}: {silent} ({version.label})", _REACH)
    said = f"{url}: answers {answer.status} ({version.label})"
    if answer.status == 200:
        return ok("providers", said)
    if answer.status in (404, 405, 501):
        return warning(
            "providers",
            f"{said}: it is reached, and tells nothing of its health",
            "let it answer GET /healthz with 200 once its model is loaded (docs/http.md)",
        )
    return _bad(version, said, "look into the model server's log")


_REACH = (
    "start it, or let this machine reach it (name, firewall, TLS; the gateway uses no proxy); a "
    "version elsewhere is another version: greenlight versions add"
)


def _bad(version: Version, what: str, fix: str) -> Finding:
    """A fault where users meet the version, else a warning."""
    return (fault if version.status in SERVING else warning)("providers", what, fix)
