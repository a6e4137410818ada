"""API keys: their form, what they open, and how often (S8)."""

from __future__ import annotations

import copy
import random
import re
from fractions import Fraction
from itertools import accumulate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import keys
from greenlight.core.errors import BadInput, Unauthorized
from greenlight.core.keys import ACTIVE, EXPIRED, REVOKED, Bucket
from greenlight.core.records import SECOND, ApiKey

NOW = 1_800_000_000 * SECOND
SECRET = keys.make(random.Random(1).randbytes(keys.RANDOM_BYTES))
OTHER = keys.make(random.Random(2).randbytes(keys.RANDOM_BYTES))
ID = keys.id_of(SECRET) or ""


def key(
    expires_at: int | None = None,
    revoked_at: int | None = None,
    scopes: str = "predict feedback",
) -> ApiKey:
    return ApiKey(
        id=ID,
        name="shop",
        digest=keys.digest(SECRET),
        scopes=scopes,
        rate=None,
        burst=None,
        created_by="ana",
        at=NOW,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )


class TestForm:
    """What a key looks like, and how it is read."""

    @given(st.binary(min_size=32, max_size=32))
    def test_what_is_made_is_read(self, data: bytes) -> None:
        secret = keys.make(data)
        id, whole = keys.parse(f"Bearer {secret}")
        assert whole == secret and secret == f"glk_{id}_{secret[-32:]}"
        assert id == data[:8].hex()

    def test_every_random_byte_counts(self) -> None:
        made = {keys.make(bytes(i == j for j in range(32))) for i in range(32)}
        assert len(made) == 32

    @pytest.mark.parametrize("count", [0, 16, 31, 33])
    def test_too_little_luck_is_refused(self, count: int) -> None:
        with pytest.raises(ValueError, match="32 random bytes"):
            keys.make(bytes(count))

    @pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   ", " Bearer "])
    def test_the_scheme_in_any_case(self, scheme: str) -> None:
        """RFC 9110, section 11.1."""
        assert keys.parse(f"{scheme}{SECRET} ") == (ID, SECRET)

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            SECRET,
            f"Basic {SECRET}",
            f"Bearer{SECRET}",
            f"Bearer {SECRET[:-1]}",
            f"Bearer {SECRET}x",
            f"Bearer {SECRET} {SECRET}",
            f"Bearer {SECRET.upper()}",
            f"Bearer {SECRET[:-1]}é",
            f"Bearer glp_{SECRET[4:]}",
            "Bearer sk-abcdefghijklmnopqrstuvwxyz",
            "Bearer " + "x" * 100_000,
        ],
    )
    def test_what_holds_no_key(self, header: str | None) -> None:
        with pytest.raises(Unauthorized, match="Authorization: Bearer glk_…") as caught:
            keys.parse(header)
        assert len(str(caught.value)) < 200
        assert "abcdefg" not in str(caught.value) and SECRET[10:] not in str(caught.value)

    def test_the_digest_is_of_the_whole_text(self) -> None:
        assert keys.digest(SECRET) != keys.digest(SECRET[:-1] + "A")
        assert keys.digest(SECRET) != keys.digest(OTHER[:21] + SECRET[21:])
        assert keys.digest(SECRET).startswith("sha256:")


class TestCheck:
    """Does a text open anything now?"""

    @pytest.mark.parametrize(
        ("known", "secret", "now", "says"),
        [
            (key(), SECRET, NOW, None),
            (key(expires_at=NOW + 1), SECRET, NOW, None),
            (key(expires_at=NOW), SECRET, NOW, "key shop .* is expired"),
            (key(revoked_at=NOW - 1), SECRET, NOW, "key shop .* is revoked"),
            (key(revoked_at=NOW + 1), SECRET, NOW, "key shop .* is revoked"),
            (key(NOW, NOW), SECRET, NOW, "key shop .* is revoked"),
            (key(), OTHER, NOW, "opens nothing here"),
            (key(), SECRET[:-1] + "A", NOW, "opens nothing here"),
            (key(expires_at=NOW), OTHER, NOW, "opens nothing here"),
            (key(revoked_at=NOW), OTHER, NOW, "opens nothing here"),
            (None, SECRET, NOW, "opens nothing here"),
            (None, "", NOW, "opens nothing here"),
        ],
    )
    def test_truth_table(
        self, known: ApiKey | None, secret: str, now: int, says: str | None
    ) -> None:
        found = keys.check(known, secret, now)
        if says is None:
            assert found is None
        else:
            assert found is not None and re.search(says, found)
            assert SECRET[21:] not in found

    def test_an_unknown_id_and_a_wrong_secret_are_one_answer(self) -> None:
        assert keys.check(None, OTHER, NOW) == keys.check(key(), OTHER, NOW)

    def test_a_digest_that_is_none_opens_nothing(self) -> None:
        """A record that somebody spoiled is no error of the server."""
        for text in ("", "é", SECRET):
            spoilt = msgspec.structs.replace(key(), digest=text)
            assert keys.check(spoilt, SECRET, NOW) is not None

    def test_states(self) -> None:
        assert keys.state(key(), NOW) == ACTIVE
        assert keys.state(key(expires_at=NOW), NOW) == EXPIRED
        assert keys.state(key(expires_at=NOW, revoked_at=NOW), NOW) == REVOKED


class TestWhatIsGiven:
    """Names, scopes and rates that people write."""

    def test_scopes_in_one_order_each_once(self) -> None:
        assert keys.scopes_of(["feedback", "predict", "feedback"]) == "predict feedback"

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ([], "give at least one of predict, feedback, flags, admin"),
            (["predict", "feedbck"], "scope 'feedbck': .*did you mean 'feedback'"),
            (["everything"], "scope 'everything': .*there are: admin, feedback"),
            (["predict feedback"], "scope 'predict feedback'"),
        ],
    )
    def test_scopes_that_there_are_not(self, given: list[str], says: str) -> None:
        with pytest.raises(BadInput, match=says) as caught:
            keys.scopes_of(given)
        assert caught.value.param == "scope"

    def test_a_word_that_is_no_scope_grants_nothing(self) -> None:
        assert keys.granted(key(scopes="predict root")) == {"predict"}
        assert keys.granted(key(scopes="")) == set()

    @pytest.mark.parametrize("name", ["shop", "a", "shop-2.staging_eu", "a" * 63])
    def test_names(self, name: str) -> None:
        keys.check_name(name)

    @pytest.mark.parametrize(
        "name", ["", "Shop", "2shop", "my shop", "shop\n", "a" * 64, "é", "abcdef0123456789"]
    )
    def test_names_that_could_be_something_else(self, name: str) -> None:
        with pytest.raises(BadInput, match="such as shop") as caught:
            keys.check_name(name)
        assert caught.value.param == "name"

    def test_a_key_is_no_name_and_is_not_repeated(self) -> None:
        with pytest.raises(BadInput, match="looks like a key") as caught:
            keys.check_name(SECRET)
        assert SECRET[4:] not in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "rate"),
        [("20/s", 20.0), ("0.5/s", 0.5), ("90/m", 1.5), ("3600/h", 1.0), ("86400/d", 1.0)],
    )
    def test_rates(self, text: str, rate: float) -> None:
        assert keys.rate_of(text) == rate

    @pytest.mark.parametrize(
        "text", ["", "20", "20/", "/s", "-1/s", "1e3/s", "1/w", "٣/s", "20 /s", "20/s\n"]
    )
    def test_rates_that_are_none(self, text: str) -> None:
        with pytest.raises(BadInput, match="such as 20/s") as caught:
            keys.rate_of(text)
        assert caught.value.param == "rate"

    @pytest.mark.parametrize("text", ["20/s", "100/h", "7/d", "45/m", "1/d"])
    def test_a_rate_is_shown_as_it_was_written(self, text: str) -> None:
        assert keys.rate_text(keys.rate_of(text)) == text

    def test_a_rate_without_a_whole_number(self) -> None:
        assert keys.rate_text(0.123456789) == "0.1235/s"

    @pytest.mark.parametrize(
        ("rate", "burst", "limits"),
        [
            (None, None, (None, None)),
            (20.0, 40, (20.0, 40)),
            (20.5, None, (20.5, 21)),
            (0.01, None, (0.01, 1)),
        ],
    )
    def test_limits(
        self, rate: float | None, burst: int | None, limits: tuple[float | None, int | None]
    ) -> None:
        assert keys.limits(rate, burst) == limits

    @pytest.mark.parametrize(
        ("rate", "burst", "param"),
        [
            (None, 5, "burst"),
            (0.0, None, "rate"),
            (-1.0, None, "rate"),
            (float("nan"), None, "rate"),
            (float("inf"), None, "rate"),
            (1e6 + 1, None, "rate"),
            (1.0, 0, "burst"),
            (1.0, 1_000_001, "burst"),
        ],
    )
    def test_limits_that_cannot_be(self, rate: float | None, burst: int | None, param: str) -> None:
        with pytest.raises(BadInput, match=f"^{param} ") as caught:
            keys.limits(rate, burst)
        assert caught.value.param == param


RATES = st.floats(min_value=1e-4, max_value=1e4)
BURSTS = st.integers(1, 20)
GAPS = st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=60)


class TestBucket:
    """At most `burst` at once and `rate` a second in the long run, exactly."""

    @given(RATES, BURSTS, GAPS, st.integers(0, NOW))
    def test_never_more_than_burst_and_rate(
        self, rate: float, burst: int, gaps: list[int], start: int
    ) -> None:
        bucket = Bucket(rate, burst)
        times = accumulate(gaps, initial=start)
        passed = [now for now in times if bucket.take(now) == 0]
        for i, first in enumerate(passed):
            for count, last in enumerate(passed[i:], start=1):
                assert count <= burst + Fraction(rate) * (last - first) / SECOND

    @given(RATES, st.integers(2, 20), st.integers(1, 60), st.integers(0, NOW))
    def test_who_waits_as_told_gets_all_that_is_due(
        self, rate: float, burst: int, count: int, start: int
    ) -> None:
        """Request n passes at the first microsecond at which n - burst tokens have come.

        (With a burst of 1 a token that is due between two microseconds finds the bucket full.)
        """
        bucket = Bucket(rate, burst)
        now = start
        for number in range(1, count + 1):
            while wait := bucket.take(now):
                now += wait
            due = max(Fraction(0), (number - burst) * SECOND / Fraction(rate))
            assert now == start + -(-due.numerator // due.denominator)

    @given(RATES, BURSTS, GAPS)
    def test_the_wait_is_exact(self, rate: float, burst: int, gaps: list[int]) -> None:
        bucket = Bucket(rate, burst)
        for now in accumulate(gaps):
            wait = bucket.take(now)
            if wait:
                assert wait > 0
                assert copy.copy(bucket).take(now + wait - 1) == 1
                assert copy.copy(bucket).take(now + wait) == 0

    @given(RATES, BURSTS, st.integers(1, 100 * SECOND))
    def test_asking_in_vain_costs_nothing(self, rate: float, burst: int, pause: int) -> None:
        calm, busy = Bucket(rate, burst), Bucket(rate, burst)
        for bucket in (calm, busy):
            for _ in range(burst):
                assert bucket.take(NOW) == 0
        for _ in range(10):
            busy.take(NOW)
        assert calm.take(NOW + pause) == busy.take(NOW + pause)

    def test_a_clock_that_is_set_back(self) -> None:
        """It gives nothing away, and nobody waits until it has caught up."""
        bucket = Bucket(1.0, 1)
        assert bucket.take(NOW) == 0
        assert bucket.take(NOW - 3600 * SECOND) == SECOND
        assert bucket.take(NOW - 3599 * SECOND) == 0

    def test_it_is_full_after_any_pause_and_not_fuller(self) -> None:
        bucket = Bucket(2.0, 3)
        for start in (NOW, NOW + 10**6 * SECOND):
            assert [bucket.take(start) for _ in range(4)] == [0, 0, 0, SECOND // 2]

    @pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (-1.0, 1), (float("inf"), 1), (1.0, 0)])
    def test_one_that_lets_nothing_through_is_refused(self, rate: float, burst: int) -> None:
        with pytest.raises(ValueError, match="let through"):
            Bucket(rate, burst)
