"""greenlight.toml: what it may say, and that every fault is found with its line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight import config, datasets
from greenlight.adapters.trainers import TRAINERS
from greenlight.config import dataset, units
from greenlight.config.locate import line_of, locate
from greenlight.core.errors import ConfigError, NotFound
from greenlight.core.records import DAY, MILLISECOND, MINUTE

ANA, BEN = "ed25519:" + "A" * 43 + "=", "ed25519:" + "B" * 42 + "A="

VALID = f"""\
[project]
name = "acme-support"

[people.ana]
roles = ["ml_lead"]
key = "{ANA}"
[people.ben]
roles = ["product_owner"]
key = "{BEN}"

[tasks.intent]
kind = "classify"
[tasks.intent.dataset]
source = "banking77"
[tasks.intent.train]
backend = "encoder-head"
[tasks.intent.gates]
accuracy = {{ min = 0.92, bound = "lower" }}
train_val_gap = {{ warn = 0.03 }}
[tasks.intent.rollout]
steps = [
    {{ weight = 0.10, soak = "15m" }},   # a canary
    {{ weight = 0.5, soak = "1.5h" }},
    {{ weight = 1 }},
]
horizon = "14d"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / config.FILE
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config.load(write(folder, text), environ or {})
    return list(error.value.problems)


def test_a_whole_file(tmp_path: Path) -> None:
    settings = config.load(write(tmp_path, VALID), {})
    task = settings.task("intent")
    assert settings.people["ana"].roles == ("ml_lead",)
    assert settings.people["ana"].name == "ana"
    assert [(step.weight, step.soak) for step in task.rollout.steps] == [
        (0.1, 15 * MINUTE),
        (0.5, 90 * MINUTE),
        (1.0, 0),
    ]
    assert task.gates["accuracy"].bound == "lower"
    assert task.approval.quorum == {"ml_lead": 1, "product_owner": 1}
    assert task.policy.rollout == task.rollout and task.policy.evidence == task.evidence
    assert config.warnings(settings) == []


def test_the_store_lies_beside_the_file(tmp_path: Path) -> None:
    settings = config.load(write(tmp_path, VALID), {})
    assert settings.store_path == tmp_path.resolve() / ".greenlight/greenlight.db"
    assert settings.store_url == f"sqlite:///{settings.store_path}"
    absolute = VALID + '[store]\nurl = "sqlite:////var/lib/greenlight.db"\n'
    assert config.load(write(tmp_path, absolute), {}).store_path == Path("/var/lib/greenlight.db")


def test_an_unknown_task_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there are: intent"):
        config.load(write(tmp_path, VALID), {}).task("intents")


def test_the_digest_is_of_what_is_set(tmp_path: Path) -> None:
    """Equal settings have equal digests, wherever the file lies and however it is laid out."""
    (tmp_path / "other").mkdir()
    one = config.load(write(tmp_path, VALID), {})
    same = config.load(write(tmp_path / "other", "# moved\n" + VALID), {})
    changed = config.load(write(tmp_path, VALID.replace("0.92", "0.93")), {})
    assert one.config_digest == same.config_digest != changed.config_digest


def test_every_fault_at_once_with_its_line(tmp_path: Path) -> None:
    text = VALID
    for right, wrong in [
        ('name = "acme-support"', 'name = "acme"\nenviroment = "dev"'),
        ('["product_owner"]', "[]"),
        ('"banking77"', '"banking7"'),
        ('backend = "encoder-head"', "seed = 1.5"),
        ("min = 0.92", "min = 2, max = 1"),
        ("train_val_gap", "train_val_gab"),
        ("weight = 0.5,", "weight = 1.5,"),
        ('"15m"', "15"),
        ('"14d"', '"10s"'),
    ]:
        assert right in text
        text = text.replace(right, wrong)
    assert faults(tmp_path, text) == [
        "greenlight.toml:3: project.enviroment: unknown key; did you mean 'environment'?",
        'greenlight.toml:9: people.ben.roles: at least one role, such as "ml_lead"',
        "greenlight.toml:15: tasks.intent.dataset.source: 'banking7' is not known; "
        "did you mean 'banking77'?",
        "greenlight.toml:16: tasks.intent.train.backend: missing",
        "greenlight.toml:17: tasks.intent.train.seed: expected a whole number, got 1.5",
        "greenlight.toml:19: tasks.intent.gates.accuracy: min 2.0 is above max 1.0: "
        "nothing could pass",
        "greenlight.toml:20: tasks.intent.gates.train_val_gab: no such metric; "
        "did you mean 'train_val_gap'?",
        "greenlight.toml:23: tasks.intent.rollout.steps[0].soak: expected a duration with its "
        'unit, such as "15m" (units: ms, s, m, h, d), got 15',
        "greenlight.toml:24: tasks.intent.rollout.steps[1].weight: 1.5 is outside (0, 1]",
        "greenlight.toml:27: tasks.intent.rollout.horizon: must be longer than "
        "feedback_window + grace, or nothing ever matures",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("[task.intent]\n", "task: unknown key; did you mean 'tasks'?"),
        ("[caches]\n", "caches: unknown key; did you mean 'cache'?"),
        ("[cache]\nurl = 'memory'\n", "cache.url: this is no cache; write memory:// or redis://"),
        ("[cache]\nurl = 'memcached://h'\n", "cache.url: this is no cache"),
        ("[cache]\nurl = 'redis://'\n", "cache.url: this is no cache"),
        ("[cache]\nurl = 'redis://[h'\n", "cache.url: this is no cache"),
        ("[cache]\nurl = 'redis://h:port'\n", "cache.url: this is no cache"),
        ("[cache]\nurl = 'redis://a:b@h'\n", "no password and no options here; write password"),
        ("[cache]\nurl = 'redis://h?password=b'\n", "cache.url: no password and no options here"),
        ("[cache]\npassword = 'b'\n", "cache.password: name the variable that holds it"),
        ("[cache]\nbound = '1KiB'\n", "cache.bound: 1024 bytes are too few; use 1MiB or more"),
        ("[cache]\ntimeout = '11s'\n", "cache.timeout: must be longer than zero and at most 10s"),
        ("[tasks.intent.gates.ece]\nmin_delta = 0\n", "ece is not compared with the live version"),
        ("[gateway]\nport = true\n", "gateway.port: expected a whole number, got true"),
        ("[gateway]\nport = 70000\n", "gateway.port: 70000 is outside 1–65535"),
        ("[gateway]\npoll = '1m'\n", "gateway.poll: must be longer than zero and at most 1s"),
        ("[gateway.spool]\nbound = '1KiB'\n", "gateway.spool.bound: 1024 bytes are too few"),
        ("[gateway.spool]\nbound = '1m'\n", "expected a size with its unit"),
        ("[gateway.spool]\nfsync = 'no'\n", "gateway.spool.fsync: 'no' is not known"),
        ("[controller]\ninterval = '1us'\n", "expected a duration with its unit"),
        ("[controller]\ninterval = '0.0001ms'\n", "finer than can be kept"),
        ("[store]\nurl = 'postgresql://db'\n", "is no SQLite file; write sqlite:///"),
        ("[ledger]\nkey = 'secret'\n", "name the variable that holds it, as in env:"),
        ("[ledger]\nheads = ''\n", "leave the setting out"),
        ("[store]\nurl = 'sqlite:///:memory:'\n", "is no SQLite file"),
        ("[people.eve]\n", "people.eve.key: missing"),
        (f"[people.eve]\nroles = ['ops']\nkey = '{ANA}'\n", "also the key of ana"),
        ("[people.eve]\nroles = ['ops']\nkey = 'sha256:abc'\n", "greenlight keys person eve"),
        (f"[people.eve]\nroles = ['a,b']\nkey = '{ANA[:-2]}Q='\n", "eve.roles[0]: 'a,b': a role"),
        (f"[people.schedule]\nroles = ['a']\nkey = '{ANA[:-2]}Q='\n", "this name is reserved"),
        (f"[people.Eve]\nroles = ['a']\nkey = '{ANA[:-2]}Q='\n", "a name has lower-case letters"),
        ("[tasks]\nother = 3\n", "tasks.other: expected a table, got 3"),
        (
            "[tasks.x]\nkind = 'rank'\n",
            "tasks.x.kind: 'rank' is not known; there are: chat, classify, tag",
        ),
        ("[tasks.x]\nkind = 'classify'\n", "tasks.x.train: missing"),
        ("[tasks.intent.approval]\nquorum = { ml_lead = 1 }\n", "product_owner always signs"),
        ("[tasks.intent.approval]\nquorum = { ml_lead = 0 }\n", "quorum.ml_lead: 0 people"),
        ("[tasks.intent.evidence]\nalpha_harm = nan\n", "expected a finite number, got nan"),
        ("[tasks.intent.evidence]\nalpha_harm = 2\n", "alpha_harm: 2.0 is outside (0, 1)"),
        ("[tasks.intent.runtime]\ntimeout = '0s'\n", "timeout: must be longer than zero"),
        ("[tasks.intent.runtime]\ntimeout = ['2s']\n", "expected a duration"),
    ],
)
def test_one_fault(tmp_path: Path, change: str, says: str) -> None:
    text = VALID.replace("[tasks.intent]", "[tasks.intent]", 1) + change
    found = [line for line in faults(tmp_path, text) if says in line]
    assert len(found) == 1
    number = int(found[0].split(":")[1])
    first = VALID.count("\n") + 1
    assert first <= number <= first + change.count("\n")


def test_a_secret_is_refused_and_not_repeated(tmp_path: Path) -> None:
    """INTERFACES: secrets only by the environment."""
    secret = "glp_" + "s3cret-" * 6
    for key in ("people.ben.key", "tasks.intent.train.options.token"):
        table, _, name = key.rpartition(".")
        text = VALID.replace(f'key = "{BEN}"', "")
        text += f'[{table}]\n{name} = "{secret}"\n' if "options" in key else ""
        if "people" in key:
            text = VALID.replace(BEN, secret)
        found = faults(tmp_path, text)
        assert any(f"{key}: a secret in plain text" in line for line in found)
        assert secret not in "\n".join(found)


def test_the_ledgers_own_key_is_refused_wherever_it_is_put(tmp_path: Path) -> None:
    """INTERFACES: a variable is named, never its content."""
    secret = "gll_" + "s3cret-" * 6
    found = faults(tmp_path, VALID + f'[ledger]\nkey = "{secret}"\n')
    assert any("ledger.key: a secret in plain text" in line for line in found)
    with pytest.raises(ConfigError) as error:
        config.load(write(tmp_path, VALID), {"GREENLIGHT_LEDGER_KEY": secret})
    assert "GREENLIGHT_LEDGER_KEY: ledger.key" in str(error.value)
    assert secret not in "\n".join([*found, str(error.value)])


@pytest.mark.parametrize(
    "url", ["memory://", "redis://cache:6379/0", "rediss://ana@cache", "unix:///run/redis.sock"]
)
def test_caches_that_can_be_named(tmp_path: Path, url: str) -> None:
    """E5"""
    text = VALID + f'[cache]\nurl = "{url}"\npassword = "env:REDIS_PASSWORD"\nbound = "2MiB"\n'
    found = config.load(write(tmp_path, text), {}).cache
    assert (found.url, found.password, found.bound) == (url, "env:REDIS_PASSWORD", 2**21)


def test_heads_lie_beside_the_store_unless_they_are_kept_elsewhere(tmp_path: Path) -> None:
    """G5"""
    beside = config.load(write(tmp_path, VALID), {})
    assert beside.heads_path == tmp_path.resolve() / ".greenlight/heads.jsonl"
    elsewhere = config.load(write(tmp_path, VALID + '[ledger]\nheads = "/mnt/a/b.jsonl"\n'), {})
    assert elsewhere.heads_path == Path("/mnt/a/b.jsonl")


@pytest.mark.parametrize(
    ("capture", "says"),
    [
        (
            "share = 0",
            "capture.share: 0.0: in staging texts are kept; use more than 0, such as 1.0",
        ),
        (
            'mask = ["input", "output"]',
            "capture.mask: in staging texts are kept; leave out input, output or both",
        ),
    ],
)
def test_in_staging_texts_are_kept(tmp_path: Path, capture: str, says: str) -> None:
    """O0: capture is on in staging; elsewhere it may be off."""
    text = f"{VALID}[tasks.intent.capture]\n{capture}\n"
    config.load(write(tmp_path, text), {})
    staging = text.replace("[people.ana]", 'environment = "staging"\n[people.ana]', 1)
    [found] = faults(tmp_path, staging)
    assert found.endswith(f"tasks.intent.{says}")
    some = staging.replace(capture, 'share = 0.01\nmask = ["input"]')
    config.load(write(tmp_path, some), {})


def test_in_prod_operations_signs_too(tmp_path: Path) -> None:
    """G1: ML lead 1 and product owner 1 always; operations joins in prod."""
    prod = VALID.replace("[people.ana]", 'environment = "prod"\n[people.ana]', 1)
    settings = config.load(write(tmp_path, prod), {})
    assert settings.task("intent").approval.quorum == {
        "ml_lead": 1,
        "product_owner": 1,
        "operations": 1,
    }
    assert [line for line in config.warnings(settings) if "1 × operations" in line]
    weak = prod + "[tasks.intent.approval]\nquorum = { ml_lead = 1, product_owner = 1 }\n"
    assert "operations always signs in prod; add operations = 1" in faults(tmp_path, weak)[0]


def test_what_will_stand_in_the_way_is_a_warning(tmp_path: Path) -> None:
    text = VALID.replace('["product_owner"]', '["ml_lead"]')
    text = text.replace("accuracy = {", "# {").replace("train_val_gap", "# ")
    found = config.warnings(config.load(write(tmp_path, text), {}))
    assert len(found) == 2
    assert "tasks.intent.approval.quorum: no one to sign for 1 × product_owner" in found[0]
    assert "tasks.intent.gates: there is none" in found[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[project]\nname = \n", "greenlight.toml:2: not TOML: "),
        ("[project\n", "greenlight.toml:1: not TOML: "),
        ("a = [1,\n2,\n", "greenlight.toml:2: not TOML: "),
        ("a = 1\na = 2\n", "greenlight.toml:2: not TOML: "),
    ],
)
def test_what_is_no_toml_says_where(tmp_path: Path, text: str, says: str) -> None:
    assert faults(tmp_path, text)[0].startswith(says)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "nowhere.toml", {})
    path = tmp_path / config.FILE
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load(path, {})


def test_the_environment_overrides(tmp_path: Path) -> None:
    environ = {
        "GREENLIGHT_STORE_URL": "sqlite:///elsewhere.db",
        "GREENLIGHT_GATEWAY_PORT": "9000",
        "GREENLIGHT_GATEWAY_SPOOL_BOUND": "2MiB",
        "GREENLIGHT_CONTROLLER_INTERVAL": "250ms",
        "GREENLIGHT_PROJECT_NAME": "77",
        "GREENLIGHT_GATEWAY_HOST": "",
        "GREENLIGHT_DATASETS": "/somewhere",
    }
    settings = config.load(write(tmp_path, VALID + "[gateway]\nport = 8500\n"), environ)
    assert settings.store_path == tmp_path.resolve() / "elsewhere.db"
    assert settings.gateway.port == 9000
    assert settings.gateway.spool.bound == 2 * 2**20
    assert settings.gateway.host == "127.0.0.1"
    assert settings.controller.interval == 250 * MILLISECOND
    assert settings.project.name == "77"
    assert set(environ) - set(config.overrides()) == {"GREENLIGHT_DATASETS"}


def test_a_faulty_override_is_named_by_its_variable(tmp_path: Path) -> None:
    environ = {"GREENLIGHT_GATEWAY_PORT": "many", "GREENLIGHT_PROJECT_ENVIRONMENT": "production"}
    assert faults(tmp_path, VALID, environ) == [
        "GREENLIGHT_GATEWAY_PORT: gateway.port: expected a whole number, got 'many'",
        "GREENLIGHT_PROJECT_ENVIRONMENT: project.environment: 'production' is not known; "
        "did you mean 'prod'?",
    ]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8400"),
        ("0.0.0.0", "http://127.0.0.1:8400"),
        ("::", "http://[::1]:8400"),
        ("gateway.internal", "http://gateway.internal:8400"),
    ],
)
def test_where_a_client_finds_the_gateway(tmp_path: Path, host: str, url: str) -> None:
    settings = config.load(write(tmp_path, VALID), {"GREENLIGHT_GATEWAY_HOST": host})
    assert settings.gateway_url == url


def test_the_choices_are_those_that_exist() -> None:
    sources = get_args(get_type_hints(config.DatasetSettings)["source"])
    assert sources == (*datasets.NAMES, "feedback", "file", "sql") == tuple(dataset.KEYS)
    assert tuple(dataset.PUBLIC) == datasets.NAMES
    assert set(get_args(get_type_hints(config.TrainSettings)["backend"])) == {*TRAINERS, "none"}


DATA = VALID.replace("{", "{{").replace("}", "}}").replace('source = "banking77"', "{}")


@pytest.mark.parametrize(
    "table",
    [
        'source = "feedback"',
        'source = "feedback"\nwindow = "7d"\nfilter = "rate > 0.06"\nbase = "banking77"\n'
        'min_rows = 10\nmax_rows = 20\nflip = ["wrong"]\nlabels = ["yes", "no"]',
        'source = "feedback"\nbase = "old/rows.csv"\ntext = "q"\nunit = "who"',
        'source = "file"\npath = "a.CSV"\nlicence = "CC0"\ncitation = "us"\nmin_rows = 1',
        'source = "sql"\nurl = "postgresql+psycopg://me@db/x?sslmode=require"\n'
        'password = "env:DB_PASSWORD"\nquery = "SELECT text, label FROM t"',
    ],
)
def test_where_rows_may_come_from(tmp_path: Path, table: str) -> None:
    task = config.load(write(tmp_path, DATA.format(table)), {}).task("intent")
    assert task.dataset.source in table


def test_feedback_has_bounds_of_its_own(tmp_path: Path) -> None:
    """D2: a week, at least 100 rows, at most 10,000; elsewhere what is written down."""
    found = config.DatasetSettings(source="feedback")
    assert (found.since, found.bounds) == (7 * DAY, (100, 10_000))
    assert config.DatasetSettings(source="feedback", min_rows=0, max_rows=5).bounds == (0, 5)
    assert config.DatasetSettings(source="file", path="a.csv").bounds == (None, None)
    judge = config.DatasetSettings(source="feedback", flip=("x",), labels=("a", "b"))
    found = judge.labelling("classify")
    assert (found.flip, found.labels, found.conditions) == ({"x"}, ("a", "b"), ())
    assert (found.kind, judge.labelling("tag").kind) == ("classify", "tag")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            'source = "file"\nwindow = "7d"\nurl = "x"',
            {
                "window: means nothing for file, only for feedback; take it out",
                "url: means nothing for file, only for sql; take it out",
                "path: file needs it; name the file; a relative path starts at the folder of "
                "greenlight.toml",
            },
        ),
        (
            'source = "sample"\nmin_rows = 5',
            {"min_rows: means nothing for sample, only for feedback and file and sql; take it out"},
        ),
        (
            'source = "feedback"\nfilter = "stars >"\nflip = ["x"]\nwindow = "0s"\nmin_rows = 9\n'
            'max_rows = 8\nbase = "banking7"',
            {
                "filter: a number must follow 'stars' >, nothing follows",
                "flip: the other label follows only where there are two; write them down, as in "
                'labels = ["APPROVE", "REJECT"]',
                "window: must be longer than zero",
                "min_rows: 9 is above max_rows (8)",
                "base: 'banking7' is no file that can be read (.csv, .jsonl, .parquet, .conll, "
                "or one of banking77, wnut17, sample, sample-entities)",
            },
        ),
        (
            'source = "feedback"\nlabels = ["a", "a"]\nmin_rows = -1\nmax_rows = 0',
            {
                "labels: name at least two, each once",
                "min_rows: -1 is below zero",
                "max_rows: 0 is below one",
            },
        ),
        (
            'source = "file"\npath = "a.xlsx"\ntext = "label"',
            {
                "path: 'a.xlsx' is no file that can be read (.csv, .jsonl, .parquet, .conll)",
                "text: text, label and unit are columns of their own",
            },
        ),
        (
            'source = "sql"\nurl = "pg://me:hush@db/x"\npassword = "hush"\nquery = "DELETE"',
            {
                'url: no password here; write password = "env:NAME"',
                "password: name the variable that holds it, as in env:SALES_DB_PASSWORD",
                "query: it begins with DELETE; write one SELECT",
            },
        ),
        (
            'source = "sql"\nurl = "postgresql://db/x?password=hush"\nquery = "SELECT 1"',
            {'url: no password here; write password = "env:NAME"'},
        ),
        (
            'source = "file"\npath = "jo@example.com.csv"\ncitation = "Jo, 07700 900123"\n'
            'label = "jo@example.com"',
            {
                "path: personal data in it (email); write it without",
                "citation: personal data in it (phone); write it without",
                "label: personal data in it (email); write it without",
            },
        ),
        (
            'source = "sql"\nurl = "sqlite:///a.db"\n'
            "query = \"SELECT text, label FROM t WHERE who = 'jo@example.com'\"",
            {"query: personal data in it (email); write it without"},
        ),
        (
            'source = "sql"\nurl = "desk.db"',
            {
                "url: this is no database; write dialect://user@host/name",
                "query: sql needs it; write the SELECT that gives the rows",
            },
        ),
    ],
)
def test_what_a_source_lacks_or_cannot_use_is_told_at_once(
    tmp_path: Path, table: str, expected: set[str]
) -> None:
    found = faults(tmp_path, DATA.format(table))
    assert {fault.partition("tasks.intent.dataset.")[2] for fault in found} == expected
    assert not any("hush" in fault for fault in found)


@pytest.mark.parametrize(
    ("kind", "table", "expected"),
    [
        ("tag", 'source = "wnut17"', set()),
        ("tag", 'source = "file"\npath = "a.conll"', set()),
        ("tag", 'source = "file"\npath = "a.csv"', set()),
        (
            "classify",
            'source = "wnut17"',
            {"source: wnut17 is for tasks of kind tag; take another"},
        ),
        (
            "tag",
            'source = "sample"',
            {"source: sample is for tasks of kind classify; take another"},
        ),
        (
            "tag",
            'source = "feedback"\nbase = "banking77"\nlabels = ["O", "person"]\nflip = ["wrong"]',
            {
                "base: banking77 is for tasks of kind classify; take another",
                "labels: 'person' is no tag; write O, B-TYPE and I-TYPE",
                "flip: tags have no opposite; take it out",
            },
        ),
        (
            "classify",
            'source = "file"\npath = "a.conll"',
            {"path: a .conll file has tags of words; they take kind = 'tag'"},
        ),
        (
            "tag",
            'source = "file"\npath = "a.conll"\nunit = "who"',
            {"path: a .conll file has no columns; take text, label and unit out"},
        ),
    ],
)
def test_rows_are_of_the_kind_of_their_task(
    tmp_path: Path, kind: str, table: str, expected: set[str]
) -> None:
    """D9: tags are for those who tag."""
    text = DATA.format(table).replace('kind = "classify"', f'kind = "{kind}"')
    if kind == "tag":
        text = text.replace('"encoder-head"', '"token-tagger"')
    found = faults(tmp_path, text) if expected else []
    assert {fault.partition("tasks.intent.dataset.")[2] for fault in found} == expected
    if not expected:
        assert config.load(write(tmp_path, text), {}).task("intent").kind == kind


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("250ms", 250 * MILLISECOND), ("0s", 0), ("1.5h", 90 * MINUTE), ("14d", 14 * DAY)],
)
def test_durations(text: str, microseconds: int) -> None:
    assert units.duration(text) == microseconds


@pytest.mark.parametrize("text", ["15", "15 minutes", "-1s", "", "1e3s", 15, None, "s", "1h30m"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="a duration with its unit"):
        units.duration(text)


@given(st.sampled_from(sorted(units.DURATION_UNITS)), st.integers(0, 10**6))
def test_whole_durations(unit: str, count: int) -> None:
    assert units.duration(f"{count}{unit}") == count * units.DURATION_UNITS[unit]


@given(st.sampled_from(sorted(units.SIZE_UNITS)), st.integers(0, 2**50))
def test_whole_sizes(unit: str, count: int) -> None:
    assert units.size(f"{count} {unit}") == count * units.SIZE_UNITS[unit]


LOCATED = '''\
# a comment with [brackets] and "quotes"
top = "a # no comment"
a.b."c d" = 1  # dotted

[table] # trailing
text = """
[not.a.table]
key = 1
"""
after = [ 1, [2,
  3], { x = "]", y = [
  "}" ] } ]
'lit.eral' = \'\'\'
also = "not"\'\'\'
when = 1979-05-27 07:32:00
[[list]]
k = 1
[list.sub]
s = 2
[[list]]
k = 3
[[list.inner]]
z = 4
["caf\\u00e9".x]
q = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("a", "b", "c d"), 3),
        (("a", "b"), 3),
        (("table",), 5),
        (("table", "text"), 6),
        (("table", "after"), 10),
        (("table", "after", 1, 1), 11),
        (("table", "after", 2), 11),
        (("table", "after", 2, "y", 0), 12),
        (("table", "lit.eral"), 13),
        (("table", "when"), 15),
        (("list", 0), 16),
        (("list", 0, "sub", "s"), 19),
        (("list", 1, "k"), 21),
        (("list", 1, "inner", 0, "z"), 23),
        (("café", "x", "q"), 25),
        (("table", "nowhere"), 5),
        (("nowhere",), 1),
    ],
)
def test_where_a_key_stands(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(locate(LOCATED), path) == line


def test_every_key_is_located() -> None:
    def paths(value: Any, path: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
        items: Any = ()
        if isinstance(value, dict):
            items = value.items()
        elif isinstance(value, list):
            items = enumerate(value)
        return [path, *(p for key, item in items for p in paths(item, (*path, key)))]

    for text in (LOCATED, VALID):
        assert {()} | set(locate(text)) == set(paths(tomllib.loads(text), ()))


@pytest.mark.parametrize(
    ("kind", "source", "backend", "says"),
    [
        ("tag", "sample-entities", "encoder-head", "makes no model for a task of kind tag"),
        ("classify", "sample", "token-tagger", "makes no model for a task of kind classify"),
    ],
)
def test_a_backend_of_another_kind(
    tmp_path: Path, kind: str, source: str, backend: str, says: str
) -> None:
    task = (
        f'[tasks.other]\nkind = "{kind}"\ndataset = {{ source = "{source}" }}\n'
        f'train = {{ backend = "{backend}" }}\n'
    )
    (found,) = faults(tmp_path, VALID + task)
    assert f"tasks.other.train.backend: {backend} {says}" in found
