"""Records of staging: made where an installation is `staging`, asked for where it is `prod`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from greenlight import artifacts
from greenlight.adapters import signing
from greenlight.core.errors import BadInput, Refused
from greenlight.core.incidents import StagingRecord
from greenlight.core.records import Version
from greenlight.stages import staging
from greenlight.wiring.app import App, person_of


def vouch(app: App, version: Version, *, secret: str, out: Path) -> StagingRecord:
    """Sign what a version has shown here, into a file that prod accepts.

    Raises:
        Refused: this is no staging installation, or something is missing.
        Unwritable: the file cannot be written.
    """
    project = app.settings.project
    if project.environment != "staging":
        raise Refused(
            f"{project.name} is {project.environment}: records are made in the installation whose "
            'project.environment is "staging"'
        )
    app.act()
    made = staging.vouch(
        app.store,
        version,
        project=project.name,
        person=person_of(app.settings, secret),
        secret=secret,
        sign=signing.sign,
        now=app.clock.now(),
        random=app.random,
    )
    artifacts.write_document(out, msgspec.to_builtins(made))
    return made


def accept(app: App, file: Path) -> StagingRecord:
    """Take over the record in a file; see `stages.staging.accept`.

    Raises:
        BadInput: it cannot be read, or is no such record.
        Refused: it carries no weight here.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}; name the file from staging", "file") from error
    app.act()
    return staging.accept(
        app.store,
        data,
        people=app.settings.people,
        roles=lambda task: app.settings.task(task).approval.quorum,
        verify=signing.verify,
        now=app.clock.now(),
    )


def require(app: App, version: Version) -> None:
    """Refuse a version whose bundle has not passed staging, where this is `prod`.

    Raises:
        Refused: no record counts.
    """
    if app.settings.project.environment == "prod":
        staging.require(
            app.store,
            version,
            people=app.settings.people,
            roles=app.settings.task(version.task).approval.quorum,
            verify=signing.verify,
        )
