"""examples/posts: what its world is like, and that its files are what `init` writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from examples.posts.traffic import BAR, NEW, OLD, WORLD
from examples.posts.writing import FOUND, MANNERS, SUBJECTS, engages, post
from examples.worlds import Visit
from greenlight import config
from greenlight.config.templates import prompt_of, render

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "posts"


def test_the_folder_holds_what_init_writes() -> None:
    """Whoever begins from the template begins where the example does."""
    assert (FOLDER / config.FILE).read_text(encoding="utf-8") == render("posts", "posts", ())
    assert (FOLDER / "prompt.txt").read_text(encoding="utf-8") == prompt_of("posts")


def test_what_the_file_selects_is_what_authors_are_content_with() -> None:
    """D2: an engagement rate above 6 % selects."""
    settings = config.load(FOLDER / config.FILE, {})
    dataset = settings.task("posts").dataset
    assert (dataset.select, dataset.filter) == ("filter", f"engagement_rate > {BAR}")
    metric = settings.task("posts").metrics["engagement_rate"]
    assert (metric.kind, metric.bounds) == ("number", (0.0, 1.0))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_one_manner_engages_most(subject: str) -> None:
    shares = {manner: engages(subject, post(subject, manner)) for manner in MANNERS}
    assert max(shares, key=lambda manner: shares[manner]) == FOUND[subject]
    assert sum(share > BAR for share in shares.values()) == 2, "the others stay below the bar"
    other = next(one for one in SUBJECTS if one != subject)
    assert engages(other, post(subject, FOUND[subject])) < 0.01, "a post on something else"
    assert engages(subject, "Buy now.") < 0.01


def test_the_same_seed_is_the_same_world() -> None:
    def drawn() -> list[object]:
        rng = np.random.default_rng(3)
        visits = [WORLD.visit(1, rng) for _ in range(5)]
        return [list(WORLD.conversations(rng)), visits, [WORLD.hear(v, "x", rng) for v in visits]]

    assert drawn() == drawn()


def test_the_base_model_has_read_every_manner_on_every_subject() -> None:
    """It does not know which of them engages: so there is something to find out, and to improve."""
    seen = Counter(said[-1]["content"] for said in WORLD.conversations(np.random.default_rng(0)))
    assert len(seen) == len(SUBJECTS) * len(MANNERS)


def test_the_second_season_has_subjects_of_which_nothing_was_learnt() -> None:
    rng = np.random.default_rng(1)
    first, second = ({WORLD.visit(season, rng).about for _ in range(300)} for season in (1, 2))
    assert first == set(OLD) and second == {*OLD, *NEW} and len(NEW) == 3


def test_the_platform_measures_and_some_authors_judge() -> None:
    rng = np.random.default_rng(2)
    subject = OLD[0]
    good, bad = (post(subject, manner) for manner in (FOUND[subject], "news"))
    said = {text: Counter[object]() for text in (good, bad)}
    for text, seen in said.items():
        for _ in range(300):
            for word in WORLD.hear(Visit("", subject), text, rng):
                rate = word.metric == "engagement_rate"
                seen["engaged" if rate and float(word.value) > BAR else word.value] += 1
    assert said[good]["GOOD"] > 20 * said[good]["BAD"] and said[bad]["BAD"] > 20 * said[bad]["GOOD"]
    assert said[good]["engaged"] > 270 and said[bad]["engaged"] < 10
