"""Chats in greenlight.toml: what they learn from, and by which backend (D2, T3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight import config
from greenlight.config.dataset import DatasetSettings
from greenlight.core.errors import ConfigError
from greenlight.core.filters import parse

TRAIN = """
[tasks.posts.train]
backend = "openai"
options = { url = "https://provider.example/v1", model = "small" }
"""


def load(folder: Path, more: str) -> config.Settings:
    file = folder / config.FILE
    file.write_text(
        f'[project]\nname = "x"\n[tasks.posts]\nkind = "chat"\n{more}', encoding="utf-8"
    )
    return config.load(file, {})


def faults(folder: Path, more: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(folder, more)
    return [problem.partition(": ")[2] for problem in error.value.problems]


def test_a_chat_may_be_brought_in_or_taught(tmp_path: Path) -> None:
    assert load(tmp_path, "").task("posts").train.backend == "none"
    rows = '[tasks.posts.dataset]\nsource = "feedback"\nselect = "filter"\nfilter = "rate > 0.06"\n'
    task = load(tmp_path, rows + TRAIN).task("posts")
    policy = task.dataset.labelling("chat")
    assert (task.train.backend, policy.kind, policy.by_filter) == ("openai", "chat", True)
    assert policy.conditions == parse("rate > 0.06")
    assert not DatasetSettings(source="feedback").labelling("chat").by_filter


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('select = "filter"', 'select: "filter" needs conditions to select by'),
        ('labels = ["A", "B"]', "dataset.labels: a chat has no labels, but answers; take it out"),
        (
            'labels = ["A", "B"]\nflip = ["wrong"]',
            "dataset.flip: a chat has no labels, but answers; take it out",
        ),
        ('base = "more.csv"', "dataset.base: a chat has no labels, but answers; take it out"),
    ],
)
def test_what_means_nothing_for_a_chat(tmp_path: Path, more: str, told: str) -> None:
    found = faults(tmp_path, f'[tasks.posts.dataset]\nsource = "feedback"\n{more}\n{TRAIN}')
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize("source", ["banking77", 'file"\npath = "rows.csv'])
def test_a_chat_learns_from_feedback_alone(tmp_path: Path, source: str) -> None:
    [found] = faults(tmp_path, f'[tasks.posts.dataset]\nsource = "{source}"\n{TRAIN}')
    assert "a chat is learnt from what people said of its answers" in found


@pytest.mark.parametrize("backend", ["tfidf-linear", "token-tagger"])
def test_a_backend_that_teaches_no_model_to_talk(tmp_path: Path, backend: str) -> None:
    [found] = faults(tmp_path, f'[tasks.posts.train]\nbackend = "{backend}"\n')
    assert f"{backend} teaches no model to talk; take hf-lora or openai" in found
