"""What personal data look like, kind by kind. `core/pii.py` says what is done with it.

Every finder takes a text as it is seen (ASCII digits, plain dashes, single spaces) and yields the
spans of what it takes for its kind.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

Spans = Iterator[tuple[int, int]]


def masked(plain: str, spans: Iterable[tuple[int, int]]) -> str:
    """`plain` with spans, in order, as line breaks, which no finding reaches across."""
    parts, done = [], 0
    for start, end in spans:
        parts += [plain[done:start], "\n" * (end - start)]
        done = end
    return "".join([*parts, plain[done:]])


# --- e-mail addresses -----------------------------------------------------------------------------

_EMAIL = re.compile(
    r"""
    (?: \w[\w.%&'+~-]{0,63} | "[^"\n]{1,64}" ) @
    (?: \w (?:[\w-]{0,61}\w)? (?: \. | 。(?=[A-Za-z0-9]) ) )+
    (?: xn--[A-Za-z0-9-]{2,59} | [A-Za-z]{2,24} | [^\W\d_A-Za-z]{2,24} )
    """,
    re.VERBOSE,
)


def _emails(plain: str) -> Spans:
    return (match.span() for match in _EMAIL.finditer(plain)) if "@" in plain else iter(())


# --- bank accounts --------------------------------------------------------------------------------

BBANS = dict(
    re.findall(
        r"([A-Z]{2}):(\w+)",
        """
    AD:8n12c AE:19n AL:8n16c AT:16n AZ:4a20c BA:16n BE:12n BG:4a6n8c BH:4a14c BI:23n BR:23n1a1c
    BY:4c4n16c CH:5n12c CR:18n CY:8n16c CZ:20n DE:18n DJ:23n DK:14n DO:4c20n EE:16n EG:25n ES:20n
    FI:14n FK:2a12n FO:14n FR:10n11c2n GB:4a14n GE:2a16n GI:4a15c GL:14n GR:7n16c GT:24c HN:4a20n
    HR:17n HU:24n IE:4a14n IL:19n IQ:4a15n IS:22n IT:1a10n12c JO:4a4n18c KW:4a22c KZ:3n13c LB:4n20c
    LC:4a24c LI:5n12c LT:16n LU:3n13c LV:4a13c LY:21n MC:10n11c2n MD:20c ME:18n MK:3n10c2n MN:16n
    MR:23n MT:4a5n18c MU:4a19n3a NI:4a20n NL:4a10n NO:11n OM:3n16c PK:4a16c PL:24n PS:4a21c PT:21n
    QA:4a21c RO:4a16c RS:18n RU:14n15c SA:2n18c SC:4a20n3a SD:14n SE:20n SI:15n SK:20n SM:1a10n12c
    SO:19n ST:21n SV:4a20n TL:19n TN:20n TR:6n16c UA:6n19c VA:18n VG:4a16n XK:16n YE:4a4n18c
    """,
    )
)
"""What follows country and check digits (n digits, a letters, c either): SWIFT IBAN Registry."""

_CLASSES = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
_IBAN_HEAD = re.compile(r"(?<![^\W_])(?:([A-Z]{2})[ -]?|([a-zA-Z]{2}))\d[ -]?\d", re.ASCII)
_UNGLUED = re.compile(r"[ -]")


@functools.cache
def _bban(country: str) -> re.Pattern[str]:
    parts = re.findall(r"(\d+)([nac])", BBANS[country])
    body = "".join(f"(?:[ -]?{_CLASSES[kind]}){{{count}}}" for count, kind in parts)
    return re.compile(rf"{body}(?![^\W_])", re.IGNORECASE | re.ASCII)


def _ibans(plain: str) -> Spans:
    done = 0
    for head in _IBAN_HEAD.finditer(plain):
        country = (head[1] or head[2]).upper()
        if head.start() < done or country not in BBANS:
            continue
        body = _bban(country).match(plain, head.end())
        if body and _mod_97(head[0] + body[0]) == 1:
            done = body.end()
            yield head.start(), done


def _mod_97(iban: str) -> int:
    """ISO 7064: the first four characters at the end, letters as 10 to 35, modulo 97."""
    letters = _UNGLUED.sub("", iban)
    return int("".join(str(int(char, 36)) for char in letters[4:] + letters[:4])) % 97


# --- payment cards --------------------------------------------------------------------------------

_RUN = re.compile(r"(?<![\dA-Z_])\d+(?:[ .-]{1,3}\d+)*")
_GROUP = re.compile(r"(?P<apart>\D*)(?P<digits>\d+)")
_ISSUED = re.compile(r"3[04-9]|4|5|6|2[2-6]|27[0-2]|8[12]|9792")
"""How the cards of today begin: Amex, Diners, JCB, Visa, Mastercard, Maestro, Discover, UnionPay,
Mir, RuPay, Troy. Without it one in ten numbers of that length would do."""
_AMONG_OTHERS = {
    13: re.compile("4|5[0678]|6"),
    14: re.compile("3[0689]"),
    15: re.compile("3[47]"),
    16: _ISSUED,
    17: re.compile("5[0678]|6"),
    18: re.compile("5[0678]|6"),
    19: re.compile("3[05689]|4|5[0678]|6|8[12]"),
}
"""By length, for a number in a row of numbers, where chance has many tries."""


def _cards(plain: str) -> Spans:
    for run in _RUN.finditer(plain):
        if run.end() - run.start() < min(_AMONG_OTHERS):
            continue
        groups = list(_GROUP.finditer(plain, *run.span()))
        if _is_one_card(groups):
            yield run.span()
            continue
        first = 0
        while first < len(groups):
            end = _card_from(groups, first)
            if end:
                yield groups[first].start("digits"), groups[end - 1].end()
            first = end or first + 1


def _is_one_card(groups: list[re.Match[str]]) -> bool:
    """Is all of it one card, written in one of the usual ways or evenly in equal groups?"""
    sizes = [len(group["digits"]) for group in groups[: max(_AMONG_OTHERS) + 1]]
    digits = "".join(group["digits"] for group in groups[: len(sizes)])
    evenly = (
        len({*sizes[:-1]}) == 1
        and sizes[-1] <= sizes[0]
        and len({group["apart"] for group in groups[1:]}) == 1
    )
    return (evenly or _grouped(sizes)) and bool(_ISSUED.match(digits)) and _is_luhn(digits)


def _card_from(groups: list[re.Match[str]], first: int) -> int:
    """One past the last group of the longest card that begins with group `first`; 0 for none.

    A card may have other numbers beside it: its expiry, its code, the next card. With a dot between
    they may be the two halves of a decimal number.
    """
    digits, sizes, best = "", [], 0
    dotted = first and groups[first]["apart"] == "." and len(groups[first - 1]["digits"]) < 4
    if dotted and len(groups[first]["digits"]) > 12:
        return best
    for end in range(first + 1, len(groups) + 1):
        digits += groups[end - 1]["digits"]
        sizes.append(len(groups[end - 1]["digits"]))
        if len(digits) > max(_AMONG_OTHERS) or not _grouped(sizes):
            break
        issued = _AMONG_OTHERS.get(len(digits))
        after = groups[end][0] if end < len(groups) else ""
        decimal = after[:1] == "." and after[1:].isdigit() and len(after) < 4
        if issued and issued.match(digits) and _is_luhn(digits) and not decimal:
            best = end
    return best


def _grouped(sizes: list[int]) -> bool:
    """The ways in which cards are written: groups of four (or twice, thrice), 4-6-4 and 4-6-5."""
    return all(size % 4 == 0 for size in sizes[:-1]) or sizes in ([4, 6, 4], [4, 6, 5])


def _is_luhn(digits: str) -> bool:
    """13 to 19 digits, the last of them the check digit of ISO/IEC 7812."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    total = sum(map(int, digits[-1::-2])) + sum(doubled)
    return len(digits) in _AMONG_OTHERS and total % 10 == 0


# --- social security, national insurance ----------------------------------------------------------

# Both have a shape that little else has. Left alone are an SSN without its hyphens, which is any
# nine digits, and a spaced NINO in small letters, which is half a sentence ("at 10 20 30 a").
_SSN = re.compile(r"(?<!\w)(?<!\d-)(?!000|666)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?!\w|-\d)", re.ASCII)
_NINO = re.compile(
    r"""
    (?<![^\W_]) (?!BG|GB|KN|NK|NT|TN|ZZ|bg|gb|kn|nk|nt|tn|zz)
    (?: [A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?\d\d[ -]?\d\d[ -]?\d\d[ -]?[A-D]
      | [a-ceghj-pr-tw-z][a-ceghj-npr-tw-z]\d{6}[a-d] )
    (?![^\W_])
    """,
    re.VERBOSE | re.ASCII,
)


def _ssns(plain: str) -> Spans:
    return (match.span() for match in _SSN.finditer(plain))


def _ninos(plain: str) -> Spans:
    return (match.span() for match in _NINO.finditer(plain))


# --- telephone numbers ----------------------------------------------------------------------------

# The shapes of British and North American numbers come first, whether the number is in use or not:
# people write the invented ones (07700 900123, 555-123-4567) too, and shapes tell two numbers side
# by side apart. phonenumbers has the plans of all countries and is asked about the rest.
_BEFORE = r"(?<!\b\d[.:-])(?<!\b\d\d[.:-])(?<!\b\d\d\d[.:-])"
_BEHIND = r"(?!\d|[.-]\d\d?(?!\d))"
"""Around a number: it is no part of something longer, as in 99-415-555-0123 or 4155550123.50."""
_BRITISH = re.compile(
    rf"""
    (?: (?<![\dA-Z_\#]) {_BEFORE} | (?=[+(]) )
    (?: \( (?= \+? \d{{2,6}} \) ) )?
    (?: (?: \+ | 00 [ ]? | 011 [ ]? )? 44 \)? [ .-]? (?: \(0\) [ ]? )? | 0 )
    (?: [12378]\d{{3}} \)? [ .-]{{0,2}} \d{{3}} [ .-]? \d{{3}}
      | [12378]\d\d   \)? [ .-]{{0,2}} \d{{3}} [ .-]? \d{{4}}
      | 2\d           \)? [ .-]{{0,2}} \d{{4}} [ .-]? \d{{4}}
      | 7 [ ] \d{{3}} [ ] \d{{3}} [ ] \d{{3}} | 7\d\d [ ] \d{{4}} [ ] \d{{3}} )
    {_BEHIND}
    """,
    re.VERBOSE,
)
_AMERICAN = re.compile(
    rf"""
    (?: (?<!\d) {_BEFORE} | (?=[+(]) ) (?: \+?1 [ .-]{{0,2}} )?
    (?: \( \d{{3}} \) [ .-]{{0,2}} \d{{3}} | \d{{3}} [.-] \d{{3}} ) [ .-] \d{{4}}
    {_BEHIND}
    """,
    re.VERBOSE,
)
_PLAIN_AMERICAN = re.compile(
    rf"(?<![\w#]){_BEFORE}"
    rf"(?:\+?1[ -]?)?[2-9]\d\d ?[2-9]\d\d[ -]?\d{{4}}{_BEHIND}(?![\w%]|,\d{{1,3}}(?!\d))",
    re.ASCII,
)
_INTERNATIONAL = re.compile(
    r"(?:\((?=\+\d{1,3}\)))?(?:\+|(?<![\w.,-])00)[ (]{0,2}\d(?:[ ./()-]{0,3}\d){6,16}(?!\d)",
    re.ASCII,
)
_DIGIT = r"\d[^\w,;:\n]{0,4}"
_UNUSUAL = re.compile(
    rf"(?<!\w)(?:0(?=\D{{0,4}}8)(?:{_DIGIT}){{7}}|(?=0|44)(?:{_DIGIT}){{10}})", re.ASCII
)
"""What a British number of another shape has, for looking closer costs 0.3 ms."""
_MONEY = frozenset("$£€")
_REFERENCE = re.compile(
    r"""
    (?: \b (?: order | ref | reference | track(?:ing)? | invoice | ticket | parcel | shipment
             | consignment | claim | transaction | booking | case | item | policy | receipt
             | serial | sku | isbn )
          (?: [ ] (?: number | no | num | nr | id | code | is | was ) \b )*
      | \# )
    [ :\#.]* \Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
_TIME = re.compile(r"\d\d?:\d\d")
_NO_PHONE = re.compile(
    r"""
    \d{1,2}([-./ ])\d{1,2}\1(?:19|20)\d\d(?!\d)      # a date
    | (?:19|20)\d\d([-./ ])\d{1,2}\2\d{1,2}(?!\d)
    | \d\d-\d\d-\d\d[ ]\d                            # a sort code
    | 0\.\d{5}                                       # a fraction
    """,
    re.VERBOSE,
)


def _phones(plain: str) -> Spans:
    for finder in (_by_shape, _by_plan, _american, _unusual):
        spans = list(finder(plain))
        plain = masked(plain, spans)
        yield from spans


def _by_shape(plain: str) -> Spans:
    british = [match.span() for match in _BRITISH.finditer(plain)]
    american = (match.span() for match in _AMERICAN.finditer(masked(plain, british)))
    yield from sorted([*british, *american])


def _by_plan(plain: str) -> Spans:
    """International numbers: the most groups of digits that the plan of their country allows."""
    at = 0
    while match := _INTERNATIONAL.search(plain, at):
        at = match.start() + 1
        for end in _ends(plain, *match.span()):
            if _in_use(plain[match.start() : end]):
                yield match.start(), end
                at = end
                break


def _ends(plain: str, start: int, end: int) -> Iterator[int]:
    """Where the groups of digits end, last first."""
    yield from reversed([start + group.end() for group in re.finditer(r"\d+", plain[start:end])])


def _american(plain: str) -> Spans:
    """Ten digits that are a number in use, neither money nor, if bare, called an order or so."""
    for match in _PLAIN_AMERICAN.finditer(plain):
        before = plain[max(0, match.start() - 40) : match.start()]
        named = match[0].isdigit() and _REFERENCE.search(before)
        if before[-1:] not in _MONEY and not named and _in_use(match[0], "US"):
            yield match.span()


def _unusual(plain: str) -> Spans:
    """British numbers in groups of another size."""
    plain = masked(plain, [match.span() for match in _TIME.finditer(plain)])
    if _UNUSUAL.search(plain):
        import phonenumbers

        valid = phonenumbers.Leniency.VALID
        for match in phonenumbers.PhoneNumberMatcher(plain, "GB", leniency=valid):
            number = match.raw_string
            if not _NO_PHONE.match(number):
                yield match.start + (number[0] == "(" and ")" not in number), match.end


def _in_use(number: str, region: str = "GB") -> bool:
    """Is it a number of the plan of its country, or of `region` where it names none?"""
    import phonenumbers  # 50 ms that most processes never need

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


FINDERS: Mapping[str, Callable[[str], Spans]] = {
    "email": _emails,
    "iban": _ibans,
    "ssn": _ssns,
    "nino": _ninos,
    "card": _cards,
    "phone": _phones,
}
"""The finder of each kind. Where findings overlap, the kind that is first here has it."""
