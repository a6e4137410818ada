"""Study cards, good ones and flawed ones of several kinds.

A card is made of a fact; its kind is what an author does with it. All words were written for this
example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

APPROVE, REJECT = "APPROVE", "REJECT"
GAP = "____"
_BEGINNINGS = ("The", "What", "Which", "Into", "In", "Who")


class Fact(NamedTuple):
    """What a card can be about."""

    family: int
    """Facts of one sort have the same."""
    about: str
    question: str
    gap: str
    """The fact with `GAP` in the place of the answer."""
    answer: str

    @property
    def told(self) -> str:
        """The fact as a sentence."""
        return self.gap.replace(GAP, self.answer)


class Family(NamedTuple):
    """Facts of one sort: `{}` stands for what they are about."""

    question: str
    gap: str
    known: dict[str, str]


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split(";"))


FAMILIES = (
    Family(
        "What is the capital of {}?",
        f"The capital of {{}} is {GAP}.",
        _pairs(
            "Kenya=Nairobi;Peru=Lima;Norway=Oslo;Portugal=Lisbon;Hungary=Budapest;Chile=Santiago;"
            "Egypt=Cairo;Cuba=Havana;Ghana=Accra;Austria=Vienna;Bulgaria=Sofia;Croatia=Zagreb;"
            "Ireland=Dublin;Latvia=Riga;Nepal=Kathmandu;Jordan=Amman;Ukraine=Kyiv;Serbia=Belgrade"
        ),
    ),
    Family(
        "Into which water does the {} flow?",
        f"The {{}} flows into {GAP}.",
        _pairs(
            "Danube=the Black Sea;Rhine=the North Sea;Volga=the Caspian Sea;Loire=the Atlantic;"
            "Po=the Adriatic;Ganges=the Bay of Bengal;Nile=the Mediterranean;Elbe=the North Sea;"
            "Amazon=the Atlantic;Dnieper=the Black Sea;Ebro=the Mediterranean;Tagus=the Atlantic"
        ),
    ),
    Family(
        "Which symbol stands for {}?",
        f"The symbol for {{}} is {GAP}.",
        _pairs(
            "iron=Fe;gold=Au;silver=Ag;lead=Pb;tin=Sn;sodium=Na;potassium=K;copper=Cu;zinc=Zn;"
            "helium=He;neon=Ne;oxygen=O;nitrogen=N;carbon=C;mercury=Hg;tungsten=W;boron=B;argon=Ar"
        ),
    ),
    Family(
        "What is the task of the {}?",
        f"The task of the {{}} is {GAP}.",
        _pairs(
            "heart=to pump blood;liver=to clear poisons;kidney=to filter blood;lung=to take up air;"
            "retina=to catch light;femur=to carry the leg;skin=to keep water in;root=to take up "
            "water;petal=to attract insects;chloroplast=to catch sunlight;mitochondrion=to supply "
            "energy;ribosome=to build proteins;spleen=to sort out old cells;pupil=to let light in"
        ),
    ),
    Family(
        "In which year was {}?",
        f"The year of {{}} was {GAP}.",
        _pairs(
            "the fall of the Berlin Wall=1989;the first landing on the Moon=1969;the battle of "
            "Hastings=1066;the storm on the Bastille=1789;the great fire of London=1666;the battle "
            "of Waterloo=1815;the opening of the Suez Canal=1869;the sinking of the Titanic=1912;"
            "the end of the second world war=1945;the founding of the United Nations=1945;the "
            "eruption of Krakatoa=1883;the first flight of the Wright brothers=1903"
        ),
    ),
    Family(
        "Who wrote {}?",
        f"{{}} was written by {GAP}.",
        _pairs(
            "Emma=Jane Austen;Dracula=Bram Stoker;Hamlet=William Shakespeare;Faust=Goethe;"
            "Candide=Voltaire;Ulysses=James Joyce;Middlemarch=George Eliot;Frankenstein=Mary "
            "Shelley;Don Quixote=Cervantes;The Trial=Franz Kafka;Walden=Henry Thoreau;The "
            "Leopard=Lampedusa;Persuasion=Jane Austen;Great Expectations=Charles Dickens"
        ),
    ),
)

FACTS: Sequence[Fact] = tuple(
    Fact(number, about, family.question.format(about), family.gap.format(about), answer)
    for number, family in enumerate(FAMILIES)
    for about, answer in family.known.items()
)

WORDS = _pairs(
    "Brot=bread;Fenster=window;Regen=rain;Schlüssel=key;Vogel=bird;Wald=forest;Brücke=bridge;"
    "Löffel=spoon;agua=water;calle=street;cuchillo=knife;hielo=ice;lluvia=rain;mesa=table;"
    "nieve=snow;puente=bridge;albero=tree;chiave=key;finestra=window;forchetta=fork;neve=snow;"
    "pane=bread;pioggia=rain;strada=road;bois=wood;clé=key;fenêtre=window;hiver=winter;neige=snow;"
    "pluie=rain;pomme=apple;rue=street"
)
"""For cards of words in other languages."""


class Kind(NamedTuple):
    """What an author makes of a fact, and whether such a card should be let in."""

    label: str
    reason: str
    make: Callable[[np.random.Generator], tuple[str, str]]
    """Front and back."""


def _one(rng: np.random.Generator) -> Fact:
    return FACTS[int(rng.integers(len(FACTS)))]


def _another(fact: Fact, rng: np.random.Generator) -> str:
    """The answer to another question of the same sort."""
    alike = [one.answer for one in FACTS if one.family == fact.family and one.answer != fact.answer]
    return _pick(rng, alike)


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _within(text: str) -> str:
    """A sentence as part of another one; names stay as they are."""
    return text[0].lower() + text[1:] if text.partition(" ")[0] in _BEGINNINGS else text


def _plain(rng: np.random.Generator) -> tuple[str, str]:
    fact = _one(rng)
    return fact.question, fact.answer


def _two(rng: np.random.Generator) -> tuple[str, str]:
    first, second = _one(rng), _one(rng)
    front = _pick(
        rng,
        (
            f"{first.question[:-1]}, and {_within(second.question)}",
            f"{first.question} Besides: {second.question}",
        ),
    )
    return front, f"{first.answer}; {second.answer}"


def _vague(rng: np.random.Generator) -> tuple[str, str]:
    fact = _one(rng)
    front = _pick(rng, ("Tell all about {}.", "What about {}?", "{}: say something.", "And {}?"))
    return front.format(fact.about), fact.told


def _told(rng: np.random.Generator) -> tuple[str, str]:
    fact = _one(rng)
    hint = _pick(rng, ("(it is {})", "(think of {})", "(clearly {})"))
    return f"{fact.question[:-1]} {hint.format(fact.answer)}?", fact.answer


_FILLING = (
    "This has been known for a very long time and is told in every school book on the matter.",
    "Learn by heart who found it, when that was, which people doubted it and how they were shown.",
    "There are exceptions, which fill a chapter of their own and need not worry a beginner much.",
    "It helps to draw it, to say it aloud, and to come back to it after a day and after a week.",
    "Other books put it in other words, but they mean the same thing and give the same examples.",
)


def _long(rng: np.random.Generator) -> tuple[str, str]:
    fact = _one(rng)
    more = rng.choice(len(_FILLING), 3, replace=False)
    return fact.question, " ".join([fact.told, *(_FILLING[int(number)] for number in more)])


def _cloze(rng: np.random.Generator) -> tuple[str, str]:
    fact = _one(rng)
    return fact.gap, fact.answer


def _coin(rng: np.random.Generator) -> tuple[str, str]:
    fact = _one(rng)
    asked = _pick(rng, ("Is it true that {}?", "Is it so that {}?", "Would you say that {}?"))
    right = rng.random() < 0.5
    claim = fact.told if right else fact.gap.replace(GAP, _another(fact, rng))
    return asked.format(_within(claim[:-1])), "Yes." if right else "No."


def _taste(rng: np.random.Generator) -> tuple[str, str]:
    fact = _one(rng)
    asked = ("What is the best thing about {}?", "What is the nicest side of {}?")
    return _pick(rng, asked).format(fact.about), fact.answer


def _word(rng: np.random.Generator) -> tuple[str, str]:
    word = _pick(rng, list(WORDS))
    asked = ("{}: say it in English.", "What about {} in English?", "And {} in English?")
    return _pick(rng, asked).format(word), f"The word for {word} is {WORDS[word]}."


KINDS = {
    "plain": Kind(APPROVE, "one idea, clear wording", _plain),
    "two": Kind(REJECT, "two ideas on one card", _two),
    "vague": Kind(REJECT, "nobody can tell what is asked", _vague),
    "told": Kind(REJECT, "the front gives the answer away", _told),
    "long": Kind(REJECT, "too long to remember", _long),
    "cloze": Kind(APPROVE, "one gap, one answer", _cloze),
    "coin": Kind(REJECT, "a coin could answer it", _coin),
    "taste": Kind(REJECT, "a matter of taste", _taste),
    "word": Kind(APPROVE, "one word, one meaning", _word),
}
"""Kind → what becomes of it. The label is what the app's editors hold right today."""

_LESSONS = 40


def card(kind: str, rng: np.random.Generator) -> str:
    """A card of a kind as it is handed in."""
    front, back = KINDS[kind].make(rng)
    lesson = int(rng.integers(1, _LESSONS + 1))
    return f"Front: {front}\nBack: {back}\nLesson: {lesson}"
