"""The pass over personal data (D6): what it finds, what it leaves alone, and that nothing is left.

Numbers are those that are set aside for examples: Ofcom's and NANP's fictional telephone numbers,
the card networks' test cards, the IBAN registry's examples.
"""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from greenlight.core import fingerprint, pii, pii_shapes
from greenlight.core.curation import normalise
from greenlight.core.errors import BadInput
from greenlight.core.pii import Finding, find, scrub
from greenlight.datasets import load, sample

FOUND = {
    "email": """
        jane@example.com
        jane.doe+parcels@mail.example.co.uk
        o'hara_7@example.museum
        JANE@EXAMPLE.COM
        d41d8cd98f00b204e9800998ecf8427e@example.com
        "jane doe"@example.com
        jane@xn--mller-kva.example.xn--p1ai
        jörg@müller.de
        用户@例子.广告
        संपर्क@डाटामेल.भारत
    """,
    "iban": """
        GB29 NWBK 6016 1331 9268 19
        GB29NWBK60161331926819
        gb29 nwbk 6016 1331 9268 19
        GB 29 NWBK 601613 31926819
        GB29-NWBK-6016-1331-9268-19
        DE89370400440532013000
        FR14 2004 1010 0505 0001 3M02 606
        NO93 8601 1117 947
        MT84 MALT 0110 0001 2345 MTLC AST0 01S
        BY13 NBRB 3600 9000 0000 2Z00 AB00
    """,
    "card": """
        4111111111111111
        4111 1111 1111 1111
        4111-1111-1111-1111
        4111 - 1111 - 1111 - 1111
        4111.1111.1111.1111
        41111111 11111111
        4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1
        4222222222222
        378282246310005
        3782 822463 10005
        3056 930902 5904
        5555 5555 5555 4444
        2223 0031 2200 3222
        3530111333300000
        6011 0009 9013 9424
        6331101999990016
        6304 0000 0000 0000 000
    """,
    "phone": """
        07700 900123
        07700900123
        07700 900 123
        07700-900-123
        (07700) 900123
        07 700 900 123
        020 7946 0958
        0207 946 0958
        (020) 7946 0958
        01632 960123
        0345 600 0000
        0800 1111
        0 7 9 1 1 1 2 3 4 5 6
        +44 7700 900123
        +447700900123
        +44 (0)7700 900123
        (+44) 7700 900123
        0044 7700 900123
        447700900123
        011 44 7700 900123
        (415) 555-0123
        415-555-0123
        415.555.0123
        415 555 0123
        4155550123
        1 (415) 555 0123
        1-800-555-0199
        +1 415 555 0123
        +1 (415)555-0123
        555-123-4567
        +33 6 12 34 56 78
        +49 30 901820
        0049 30 901820
        +91 98765 43210
        +353 85 012 3456
    """,
    "ssn": "078-05-1120",
    "nino": """
        AB123456C
        AB 12 34 56 C
        AB-12-34-56-C
        ab123456c
    """,
}

LEFT_ALONE = """
    @jane and jane@localhost
    see you @ 4.30
    3@4.50 each
    jane at example dot com
    £1,000.00
    £1,234,567,890.12
    $4155550123
    costs 4155550123.50
    took 100.00 200.00 300.00 from the ATM
    2023-01-01
    2023-01-01 12:30:45
    2023-01-01 12 parcels
    2023-01-01 - 2023-12-31
    2023-01-01T12:30:45.123456Z
    20230101123045
    01/02/2023 10:30
    03-04-2023 123
    07-08-2023 12.30
    07.30 to 08.15
    13:35 02.32 05.25 15.24
    20:44 13.57 15.52 22:29
    1672531200
    1672531200123
    0.4111111111111111
    4111111111111111.50
    0.049785297460653966
    expires 09/27, code 123
    card ending 1111
    **** **** **** 1111
    4111 1111 1111 1112
    0000 0000 0000 0000
    1234567890123456
    20 30 40 50 60 70 80 90 100
    2019 2020 2021 2022 2023
    sort code 12-34-56 account 12345678
    12-34-56 12345678
    order 12345678
    order number 4155550123
    tracking no. 4155550123
    ref: #4155550123
    parcel JD0002254831234567
    4155550123-4
    99-415-555-0123
    RM123456785GB
    1Z9994W99999999999
    555-0123
    call 999 or 101
    192.168.0.1:8080
    51.507351, -0.127758
    GB29 NWBK 6016 1331 9268 18
    GB29 NWBK
    at 10 20 30 a day
    by 10 the parcel should be there today at 12 or 14
    be 04 10 12 2024 10 10 parcel
    QQ123456C
    AB123456E
    123-45-67890
    000-12-3456
    666-12-3456
    078051120
    01991234-5678-7123-8123-447700900123
    sha256:71a7c7727d346272781dbfa07700900123375537c37a234b3c448765845928f0
    Jane Doe, 221B Baker Street, London NW1 6XE
    [EMAIL] [PHONE] [CARD] [IBAN]
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in lines(texts)]
)
def test_found_to_the_character(kind: str, text: str) -> None:
    """D6"""
    for before, after in [("", ""), ("hello, ", ", thanks"), ("it is ", "."), ("(", ")\n")]:
        found = find(before + text + after)
        assert found == [Finding(kind, len(before), len(before) + len(text))]


@pytest.mark.parametrize("text", lines(LEFT_ALONE))
def test_left_alone(text: str) -> None:
    """D6: a false finding changes a training text."""
    assert not find(text)
    assert not find(f"hello, {text} thanks")


def iban(country: str) -> str:
    """An account in a country, by the shape that its registry gives: ISO 13616."""
    parts = re.findall(r"(\d+)([nac])", pii_shapes.BBANS[country])
    bban = "".join({"n": "7", "a": "K", "c": "5"}[kind] * int(count) for count, kind in parts)
    number = int("".join(str(int(char, 36)) for char in f"{bban}{country}00"))
    return f"{country}{98 - number % 97:02d}{bban}"


@pytest.mark.parametrize("country", sorted(pii_shapes.BBANS))
def test_every_country_of_the_registry_has_its_iban(country: str) -> None:
    """D6: and a wrong digit makes it none."""
    right = iban(country)
    spaced = " ".join(right[place : place + 4] for place in range(0, len(right), 4))
    assert scrub(f"to {right} or {spaced} please").text == "to [IBAN] or [IBAN] please"
    wrong = f"{right[:3]}{(int(right[3]) + 1) % 10}{right[4:]}"
    assert "iban" not in scrub(wrong).findings


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_region_has_its_international_numbers(region: str) -> None:
    """D6"""
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
        number = phonenumbers.example_number_for_type(region, kind)
        for form in (
            phonenumbers.PhoneNumberFormat.INTERNATIONAL,
            phonenumbers.PhoneNumberFormat.E164,
        ):
            if number:
                text = f"call {phonenumbers.format_number(number, form)} today"
                assert scrub(text).text == "call [PHONE] today"


def wide(text: str) -> str:
    """ASCII in full width."""
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def digits_from(zero: str, text: str) -> str:
    """The digits of another script, or of another style."""
    return "".join(chr(ord(zero) + int(char)) if char.isdigit() else char for char in text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", wide("jane@example.com")),
        ("email", "jane﹫example.com"),
        ("email", "ja\u200bne@exam\u00adple\u2060.com"),
        ("email", "zoe\u0308@exa\u0301mple.com"),
        ("email", "jane@example.cafe\u0301"),
        ("email", "".join(chr(ord(char) + 0x1D3B3) for char in "jane") + "@example.com"),
        ("email", "jane@example。com"),
        ("card", wide("4111 1111 1111 1111")),
        ("card", digits_from("\u0660", "4111 1111 1111 1111")),
        ("card", digits_from("\u0966", "4111-1111-1111-1111")),
        ("card", digits_from("\U0001d7ce", "4111111111111111")),
        ("card", "4\ufe0f\u20e3" + "1\ufe0f\u20e3" * 15),
        ("card", "4111\u00a01111\u20071111\u202f1111"),
        ("card", "4111\u20131111\u22121111\u20111111"),
        ("card", "4111 1111\r\n1111\t 1111"),
        ("card", "4111\u31641111\u28001111\u11601111"),
        ("card", "4111\x001111\x001111\x9f1111"),
        ("card", "41\u200b11\u200d1111\ufeff111111\u206311"),
        ("iban", "GB29\u2003NWBK\u00a06016\u200b1331 9268 19"),
        ("iban", wide("DE89370400440532013000")),
        ("phone", digits_from("\u06f0", "+98 21 3456 7890")),
        ("phone", "\uff0b44 7700\u2011900\u2011123"),
        ("phone", "0\u200b7700 900\u200b123"),
        ("phone", "07700 \t\n\u00a0 900 \u200b  123"),
        ("ssn", "078\u201105\u20111120"),
    ],
)
def test_seen_as_a_person_sees_it(kind: str, text: str) -> None:
    """D6: offsets are those of the text as it came."""
    assert find(text) == [Finding(kind, 0, len(text))]
    before = "ﬃ①\u200b½ \u0301"
    found = find(f"{before} {text} ﬁn")
    assert found == [Finding(kind, len(before) + 1, len(before) + 1 + len(text))]


NUMBERS = [
    "jane@example.com",
    "4111 1111 1111 1111",
    "378282246310005",
    "GB29 NWBK 6016 1331 9268 19",
    "07700 900123",
    "07911123456",
    "+44 7700 900123",
    "+33 6 12 34 56 78",
    "(415) 555-0123",
    "4155550123",
    "078-05-1120",
    "AB123456C",
]


@pytest.mark.parametrize("between", [" ", ", ", ",", "; ", "/", " / ", "\n", " - ", " or ", "|"])
@pytest.mark.parametrize("first", NUMBERS)
def test_one_beside_another(first: str, between: str) -> None:
    """D6: each is found whole, and neither makes a third of the other's digits."""
    for second in NUMBERS:
        expected = between.join(scrub(number).text for number in (first, second))
        assert scrub(f"{first}{between}{second}").text == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111 1111 1111 1111 09/27 123", "[CARD] 09/27 123"),
        ("1 4111 1111 1111 1111 times 2", "1 [CARD] times 2"),
        ("07700 900123 12/27", "[PHONE] 12/27"),
        ("+33 6 12 34 56 78 24/7", "[PHONE] 24/7"),
        ("Call07700900123thanks", "Call[PHONE]thanks"),
        ("mail=jane@example.com.", "mail=[EMAIL]."),
        ("<jane@example.com>'jane@example.com'", "<[EMAIL]>'[EMAIL]'"),
        ("给jane@example.com。谢谢", "[EMAIL]。谢谢"),
        ("账号DE89370400440532013000谢", "账号[IBAN]谢"),
        ("GB29 NWBK 6016 1331 9268 19 please", "[IBAN] please"),
        ("the phone is 4155550123", "the phone is [PHONE]"),
        ("4111111111111111@example.com", "[EMAIL]"),
    ],
)
def test_what_stands_around_it_stays(text: str, expected: str) -> None:
    """D6"""
    assert scrub(text).text == expected


def test_findings_are_counted_by_kind() -> None:
    """D6"""
    done = scrub("jane@example.com, joe@example.com or 07700 900123")
    assert done.text == "[EMAIL], [EMAIL] or [PHONE]"
    assert done.findings == {"email": 2, "phone": 1}
    assert scrub("where is my card?") == ("where is my card?", {})


PIECES = st.one_of(
    st.sampled_from([*NUMBERS, *map(wide, NUMBERS), *pii.PLACEHOLDERS.values()]),
    st.builds(
        lambda text, start, size: text[start : start + size],
        st.sampled_from([*NUMBERS, "0800 1111", "DE89370400440532013000", "2023-01-01"]),
        st.integers(0, 12),
        st.integers(1, 12),
    ),
    st.sampled_from(
        [
            *" @.,-+/()'\"=#£%\n\t\u200b\u00a0\u0301\u0338é①⒈⑴㏂℡。谢٤４ſİ",
            "00",
            "44",
            "0",
            "+1",
            "x",
        ]
    ),
    st.text(max_size=3),
)
TEXTS = st.lists(PIECES, max_size=10).map("".join)


@settings(max_examples=600)
@given(TEXTS)
@example("1.4111111111111111,4111111111111111.4111111111111111")
@example("ab123456c07700 900123ab123456c")
@example("j@x.c℀@x.com")
def test_nothing_is_left(text: str) -> None:
    """D6: nothing in what was scrubbed, and nothing once it is normalised for training."""
    done = scrub(text)
    assert not find(done.text)
    assert not find(normalise(done.text))
    assert scrub(done.text) == (done.text, {})
    assert bool(done.findings) == (done.text != text)
    assert done == scrub(text)


@given(TEXTS)
@example("j@x.c℀@x.com")
def test_findings_are_apart_and_in_order(text: str) -> None:
    """D6"""
    found = find(text)
    bounds = [place for one in found for place in (one.start, one.end)]
    assert bounds == sorted(bounds) and all(one.start < one.end for one in found)
    assert {one.kind for one in found} <= set(pii.PLACEHOLDERS)
    spans = "".join(text[one.start : one.end] for one in found)
    assert not found or "@" in spans or any(unicodedata.digit(char, None) for char in spans)


@pytest.mark.parametrize("between", ["", ".", "-", ","])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_row_of_numbers_does_not_stop_a_pipeline(number: str, between: str) -> None:
    """D6: who sends such a text must not be able to."""
    assert not find(scrub(between.join([number] * 2 * pii.ROUNDS)).text)


def test_what_cannot_be_resolved_is_an_error_that_does_not_repeat_it() -> None:
    """D6: 0 unresolved findings, or the pipeline stops."""
    text = "me: 07700 900123ab123456c"
    assert scrub(text, rounds=2).text == "me: [PHONE][NINO]"
    with pytest.raises(BadInput, match=r"1 rounds.*nino at 11 to 20.*by hand") as caught:
        scrub(text, rounds=1)
    assert "123456" not in str(caught.value)


def test_every_kind_has_its_placeholder() -> None:
    """D8: a data set is named by its bytes, so these words may not change unseen."""
    assert set(pii.PLACEHOLDERS) == set(pii_shapes.FINDERS)
    assert fingerprint.digest(dict(pii.PLACEHOLDERS)) == (
        "sha256:e5254a06a45770b4b21b399433cb2a6d88e97ad3a674b9d28854ccee5c163b4a"
    )


def test_texts_without_numbers_cost_no_library() -> None:
    """The gateway and the command line must not pay for it."""
    probe = (
        "import sys; from greenlight.core.pii import find\n"
        "assert not find('where is parcel 12345, ordered on 2023-01-01 for £1,000.00?')\n"
        "assert 'phonenumbers' not in sys.modules\n"
        "assert find('+44 7700 900123 or +33 6 12 34 56 78')\n"
        "assert 'phonenumbers' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", probe], check=True)


def test_the_sample_holds_no_personal_data() -> None:
    """D6"""
    source = sample.load()
    assert not [row.text for row in [*source.train, *source.test] if find(row.text)]


@pytest.mark.needs("data")
def test_banking77_holds_no_personal_data() -> None:
    """D6: not one false finding in its 13,083 texts."""
    source = load("banking77")
    assert not [row.text for row in [*source.train, *source.test] if find(row.text)]


# --- where words have tags ------------------------------------------------------------------------

CASES = [text for texts in FOUND.values() for text in lines(texts)]


@pytest.mark.parametrize("text", CASES)
def test_every_word_of_a_finding_gets_a_placeholder_of_its_own(text: str) -> None:
    """D6: so that each tag still has its word; white space stays as it was."""
    came = f"hello,\u00a0{text}!\tthanks"
    found = scrub(came, by_word=True).text
    before, *middle, after = found.split()
    assert (before, after) == ("hello,", "thanks")
    assert len(middle) == len(text.split()) and set(middle) <= set(pii.PLACEHOLDERS.values())
    assert re.findall(r"\s+", found) == re.findall(r"\s+", came)


@given(st.lists(st.sampled_from([*CASES, "a", "\u200b", "ok.", "\n", "(7"]), max_size=6), st.text())
def test_as_many_words_come_out_as_went_in(parts: list[str], rest: str) -> None:
    """D6, whatever comes: nothing is found afterwards."""
    came = " ".join([*parts, rest])
    found = scrub(came, by_word=True)
    assert len(found.text.split()) == len(came.split())
    assert find(found.text) == []
    assert (found.text == came) == (not found.findings)
    untouched = [word for word in found.text.split() if not word.startswith("[")]
    assert all(word in came for word in untouched)
