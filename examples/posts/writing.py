"""Posts for a hobby's page: subjects, manners of a hook, and how many followers each engages.

A post is a hook and a body. All words were written for this example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Subject(NamedTuple):
    """What a post is about, and what there is to say of it."""

    name: str
    asks: str
    number: str
    story: str
    claim: str
    body: str


SUBJECTS: Mapping[str, Subject] = {
    subject.name: subject
    for subject in (
        Subject(
            "sourdough",
            "Does your loaf come out flat as a plate?",
            "Four things that a lively starter needs.",
            "My first loaf broke a tooth. My tenth one was gone before it had cooled.",
            "Kneading is overrated. Waiting does the work.",
            "Feed the starter at the same hour each day, and write down how long it takes to rise.",
        ),
        Subject(
            "night sky",
            "When did you last see the Milky Way?",
            "Three planets that you can find tonight without a telescope.",
            "I drove an hour into the dark to see nothing. Then the clouds opened.",
            "You need no telescope. You need a blanket and half an hour.",
            "Leave the torch off for twenty minutes: only then do eyes see what is up there.",
        ),
        Subject(
            "houseplants",
            "Why do the tips of the leaves turn brown?",
            "Five plants that forgive a holiday.",
            "I drowned six ferns with the best of intentions.",
            "Most houseplants die of love and water.",
            "Put a finger into the soil first: if it comes out damp, the can stays where it is.",
        ),
        Subject(
            "bicycles",
            "Does your chain sing when you pedal?",
            "Two tools and ten minutes for a quiet bicycle.",
            "On the steepest street of the town my chain came off, and everybody watched.",
            "A clean chain is worth more than a light frame.",
            "Wipe it, oil the inside of each link with one drop, and wipe again.",
        ),
        Subject(
            "watercolours",
            "Why does the sky in your picture look like mud?",
            "Three colours that mix to all the others.",
            "The best sky that I ever painted was a cup of coffee that fell over.",
            "Cheap brushes do. Cheap paper does not.",
            "Let the first wash dry until the paper no longer feels cold to the hand.",
        ),
        Subject(
            "birds",
            "Who sings in front of your window at four?",
            "Six voices that you can tell apart in a week.",
            "For a year I took a starling for my telephone.",
            "Binoculars come last. Ears come first.",
            "Learn one voice a day, and go out before the cars do.",
        ),
        Subject(
            "chess",
            "Do you see what the knight wants?",
            "Three questions to ask before every move.",
            "I lost to a child of eight who ate an ice cream meanwhile.",
            "Openings do not win games. Not hanging your pieces does.",
            "Before you let go of a piece, look for every check that the answer could be.",
        ),
        Subject(
            "knitting",
            "Where did that extra stitch come from?",
            "Two ways to save a dropped stitch.",
            "My first scarf was a metre wide at one end and a hand at the other.",
            "Counting beats talent.",
            "Count after every row at first, and put in a thread where the count was right.",
        ),
        Subject(
            "mushrooms",
            "Would you eat what you found yesterday?",
            "Four signs that say leave it standing.",
            "I carried a basket home once that held not one mushroom to eat.",
            "The best mushroom hunters come home with an empty basket.",
            "Take one of each for the book, and let somebody look who has done it for years.",
        ),
    )
}

MANNERS = ("asks", "number", "story", "claim", "news")
"""Of a hook: it asks, it counts, it tells, it claims, or it says that there is something new."""

FOUND: Mapping[str, str] = {
    "sourdough": "number",
    "night sky": "asks",
    "houseplants": "claim",
    "bicycles": "number",
    "watercolours": "story",
    "birds": "asks",
    "chess": "story",
    "knitting": "story",
    "mushrooms": "claim",
}
"""What the followers of a subject like; nobody who asks or answers knows it."""

LIKED, NEARLY, PASSED_BY = 0.12, 0.09, 0.03
"""The share of followers whom a post engages: in the manner that they like, in the one that comes
after it in `MANNERS`, and in any other."""
STRAY = 0.005
"""Of a post on something else than what was asked for."""

AUDIENCES = (
    "people who begin",
    "people who have done it for years",
    "parents with little time",
    "students in a small flat",
    "a club that meets on Thursdays",
    "those who gave it up once",
    "neighbours of the workshop",
    "readers of the newsletter",
)
OCCASIONS = (
    "a rainy weekend",
    "the first warm day",
    "the long holidays",
    "a quiet Monday",
    "the fair in town",
    "our second birthday",
    "the shortest day",
    "a question from a reader",
)
WISHES = (
    "keep it short",
    "no jargon",
    "make it warm",
    "end with something to try",
    "nothing about prices",
    "a picture comes with it",
)


def brief(subject: str, rng: np.random.Generator) -> str:
    """What somebody asks for."""
    return (
        f"Subject: {subject}\nReaders: {pick(rng, AUDIENCES)}\n"
        f"Occasion: {pick(rng, OCCASIONS)}\nWish: {pick(rng, WISHES)}"
    )


def post(subject: str, manner: str) -> str:
    """A hook in that manner, and the body."""
    known = SUBJECTS[subject]
    hooks = {**known._asdict(), "news": f"There is something new on {subject} on our page."}
    return f"{hooks[manner]}\n\n{known.body}"


def pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    """One of them."""
    return choices[int(rng.integers(len(choices)))]


def engages(subject: str, text: str) -> float:
    """The share of followers whom a post engages that was asked for on a subject."""
    about, manner = _KNOWN.get(text, ("", ""))
    if about != subject:
        return STRAY
    liked = MANNERS.index(FOUND[subject])
    return {0: LIKED, 1: NEARLY}.get((MANNERS.index(manner) - liked) % len(MANNERS), PASSED_BY)


_KNOWN: Mapping[str, Sequence[str]] = {
    post(subject, manner): (subject, manner) for subject in SUBJECTS for manner in MANNERS
}
