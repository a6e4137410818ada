"""Texts to show what the models say. Written for this project, taken from no data set.

What is right is the author's opinion, written down before a model was asked.
"""

from __future__ import annotations

from typing import NamedTuple


class Question(NamedTuple):
    """A text for the task of intents."""

    text: str
    right: str
    """Labels that would do, with ` or ` between them; empty where none does."""
    why: str


QUESTIONS = (
    Question(
        "The machine on Elm Street ate my card this morning", "card_swallowed", "plain, in scope"
    ),
    Question(
        "my landlord says the rent i sent last night never got to him",
        "transfer_not_received_by_recipient",
        "in scope, without capitals",
    ),
    Question(
        "What do you take when I change euros into dollars?", "exchange_charge", "plain, in scope"
    ),
    Question(
        "From what age can my daughter have an account with you?", "age_limit", "plain, in scope"
    ),
    Question(
        "crd stil not hear after 2 weaks", "card_arrival", "in scope, misspelt in every other word"
    ),
    Question(
        "Somebody is buying train tickets with my card and it is not me",
        "compromised_card or card_payment_not_recognised",
        "between two labels",
    ),
    Question("my money is gone", "", "in scope perhaps, and too short to tell"),
    Question("Can I get a mortgage for a houseboat?", "", "about money, and no label has it: near"),
    Question("What interest do you pay on savings?", "", "about money, and no label has it: near"),
    Question("What can I cook with leftover rice and two eggs?", "", "out of scope"),
    Question("Write me a short poem about the sea", "", "out of scope"),
    Question("asdf jkl qwer", "", "out of scope: no words at all"),
)


class Sentence(NamedTuple):
    """A text for the task of entities; names are invented."""

    text: str
    right: str
    """What is named in it, as `name (type)` with commas between; empty where nothing is."""
    why: str


SENTENCES = (
    Sentence(
        "just saw Mira Okonkwo at the Harbour Market in Leith , she waved at me",
        "Mira Okonkwo (person), Harbour Market (location), Leith (location)",
        "names as they are written",
    ),
    Sentence(
        "so mira okonkwo lives in leith now , who knew",
        "mira okonkwo (person), leith (location)",
        "the same without capitals",
    ),
    Sentence(
        "The Paper Lanterns play in Rotterdam on friday !",
        "The Paper Lanterns (group), Rotterdam (location)",
        "where does the name begin?",
    ),
    Sentence(
        "rewatching The Salt Road for the third time",
        "The Salt Road (creative-work)",
        "a title that could be a place",
    ),
    Sentence(
        "new phone day ! the Lumo 7 is so much lighter than my old one",
        "Lumo 7 (product)",
        "a product that nobody has seen",
    ),
    Sentence("Brightwater Foods is hiring again", "Brightwater Foods (corporation)", "a company"),
    Sentence("nothing to report , just tired and hungry today", "", "nothing is named"),
)
