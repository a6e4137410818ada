"""E5: the caches, under one contract; a real Redis stands behind one of them."""

from __future__ import annotations

import logging
import socket
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.local_redis import local_redis
from greenlight import config, wiring
from greenlight.adapters.caches.memory import MemoryCache
from greenlight.adapters.caches.redis import KEPT, NAMESPACE, RedisCache
from greenlight.core.errors import ConfigError
from greenlight.core.records import MILLISECOND, SECOND
from greenlight.ports.cache import Cache
from greenlight.testing import FakeClock

needs_redis = pytest.mark.needs("redis")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The URL of a Redis."""
    with tempfile.TemporaryDirectory() as folder, local_redis(folder) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[redis.Redis]:
    """An empty Redis, seen from beside the cache."""
    with redis.Redis.from_url(address) as made:
        made.flushall()
        yield made


def away(folder: str | Path, **options: int) -> tuple[RedisCache, FakeClock]:
    """A cache whose Redis would listen in a folder."""
    clock = FakeClock()
    return RedisCache(f"unix://{folder}/redis.sock", clock=clock, **options), clock


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    """An empty cache."""
    made: Cache = MemoryCache(2**20)
    if request.param == "redis":
        request.getfixturevalue("client")
        made = RedisCache(request.getfixturevalue("address"), clock=FakeClock())
    yield made
    made.close()


class TestContract:
    """E5, of every cache."""

    def test_what_was_put_is_found_exactly(self, cache: Cache) -> None:
        assert cache.get("a") is None
        for value in (b"", b"\0\xff", bytes(range(256)) * 100):
            cache.put("a", value)
            assert cache.get("a") == value
        assert cache.get("a ") is None
        stats = cache.stats()
        assert (stats.hits, stats.misses, stats.hit_ratio) == (3, 2, 0.6)

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.dictionaries(st.text(max_size=20), st.binary(max_size=50), max_size=8))
    def test_any_keys_and_values(self, cache: Cache, given: dict[str, bytes]) -> None:
        cache.drop("")
        for key, value in given.items():
            cache.put(key, value)
        assert {key: cache.get(key) for key in given} == given
        assert cache.stats().entries == len(given)

    def test_a_prefix_is_dropped_and_nothing_else(self, cache: Cache) -> None:
        """O3: what is kept of a version that was rolled back goes."""
        keys = ["v/1/a", "v/1/b", "v/10/a", "w", "V/1/a", " v/1/a"]
        for key in keys:
            cache.put(key, key.encode())
        assert cache.drop("v/1/") == 2
        assert [key for key in keys if cache.get(key) is None] == ["v/1/a", "v/1/b"]
        assert cache.drop("v/1/") == 0

    @pytest.mark.parametrize("sign", ["*", "?", "[ab]", "[^a]", "\\", "[", "]", "-", "^"])
    def test_no_sign_of_a_prefix_has_a_meaning(self, cache: Cache, sign: str) -> None:
        for key in (f"v{sign}/x", "vab/x", "va/x", "v/x"):
            cache.put(key, b"1")
        assert cache.drop(f"v{sign}/") == 1
        assert cache.get(f"v{sign}/x") is None
        assert cache.get("va/x") == b"1"

    def test_it_says_how_it_fares(self, cache: Cache) -> None:
        before = cache.stats()
        assert (before.hits, before.misses, before.entries, before.bytes) == (0, 0, 0, 0)
        assert before.hit_ratio is None
        cache.put("a", b"x" * 1000)
        cache.put("a", b"x" * 500)
        cache.put("b", b"x" * 500)
        after = cache.stats()
        assert after.entries == 2
        assert after.bytes is not None and 1000 <= after.bytes <= 1002
        cache.drop("")
        assert (cache.stats().entries, cache.stats().bytes) == (0, 0)

    def test_more_entries_than_a_page(self, cache: Cache) -> None:
        for n in range(1200):
            cache.put(f"many/{n}", b"x")
        assert cache.stats().entries == 1200
        assert cache.drop("many/") == 1200

    def test_several_threads(self, cache: Cache) -> None:
        def work(name: int) -> bool:
            for n in range(50):
                key, value = f"{name % 2}/{n}", f"{name % 2}:{n}".encode()
                cache.put(key, value)
                if cache.get(key) != value:
                    return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(4)))
        stats = cache.stats()
        assert (stats.hits, stats.misses, stats.entries) == (200, 0, 100)


class TestMemory:
    """E5: bounded by bytes."""

    def test_what_was_used_least_recently_goes_first(self) -> None:
        cache = MemoryCache(10)
        for key in "abc":
            cache.put(key, b"12")
        assert cache.get("a") == b"12"
        cache.put("d", b"12")
        assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]

    def test_a_value_beyond_the_bound_is_not_kept_nor_the_one_that_it_replaces(self) -> None:
        cache = MemoryCache(10)
        cache.put("a", b"1")
        cache.put("b", b"1")
        cache.put("a", b"0123456789")
        assert cache.get("a") is None
        assert cache.get("b") == b"1"

    @given(
        st.lists(
            st.tuples(st.sampled_from("abcdé"), st.none() | st.binary(max_size=12)), max_size=60
        )
    )
    def test_it_is_a_list_of_what_was_used(self, steps: list[tuple[str, bytes | None]]) -> None:
        """Against a model of three lines: newest last, cut at the front."""
        bound = 20
        cache, model = MemoryCache(bound), dict[str, bytes]()
        for key, value in steps:
            kept = model.pop(key, None)
            if value is None:
                assert cache.get(key) == kept
                value = kept
            else:
                cache.put(key, value)
            if value is not None and len(key.encode()) + len(value) <= bound:
                model[key] = value
            while sum(len(k.encode()) + len(v) for k, v in model.items()) > bound:
                del model[next(iter(model))]
            stats = cache.stats()
            assert stats.entries == len(model)
            assert stats.bytes == sum(len(k.encode()) + len(v) for k, v in model.items())


@needs_redis
class TestRedis:
    """E5: damaged, shared, full, slow, away."""

    def test_a_damaged_entry_is_a_miss(
        self, address: str, client: redis.Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache = RedisCache(address, clock=FakeClock())
        cache.put("a", b"value")
        whole = bytes(client.get(NAMESPACE + "a") or b"")
        damages = [
            whole[:-1],
            whole + b"!",
            whole[:5] + b"!" + whole[6:],
            whole[:-1] + b"E",
            b"",
            b"value",
        ]
        for damaged in damages:
            client.set(NAMESPACE + "a", damaged)
            assert cache.get("a") is None
        assert len(caplog.records) == len(damages)
        assert "the entry a is damaged" in caplog.text
        client.set(NAMESPACE + "a", whole)
        assert cache.get("a") == b"value"
        cache.close()

    def test_an_entry_in_anothers_place_is_a_miss(self, address: str, client: redis.Redis) -> None:
        cache = RedisCache(address, clock=FakeClock())
        cache.put("a", b"value")
        client.rename(NAMESPACE + "a", NAMESPACE + "b")
        assert cache.get("b") is None
        cache.close()

    def test_what_others_keep_there_is_left_alone(self, address: str, client: redis.Redis) -> None:
        cache = RedisCache(address, clock=FakeClock())
        client.set("theirs", "1")
        client.lpush(NAMESPACE + "a", "of another kind")
        assert cache.get("a") is None
        cache.put("b", b"1")
        cache.drop("")
        assert client.get("theirs") == b"1"
        assert client.dbsize() == 1
        cache.close()

    def test_entries_expire(self, address: str, client: redis.Redis) -> None:
        cache = RedisCache(address, clock=FakeClock())
        cache.put("a", b"1")
        left = client.pttl(NAMESPACE + "a")
        assert 0 < left <= KEPT // MILLISECOND
        cache.close()

    def test_one_that_is_full_keeps_nothing_and_nothing_fails(
        self, address: str, client: redis.Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache = RedisCache(address, clock=FakeClock())
        client.config_set("maxmemory", "1")
        try:
            cache.put("a", b"1")
            assert cache.get("a") is None
        finally:
            client.config_set("maxmemory", "0")
        assert "maxmemory" in caplog.text
        cache.close()

    def test_away_is_a_miss_and_one_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache, _ = away(tmp_path)
        for _ in range(5):
            assert cache.get("a") is None
            cache.put("a", b"1")
        assert cache.drop("") is None
        stats = cache.stats()
        assert (stats.hits, stats.misses, stats.entries, stats.bytes) == (0, 5, None, None)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "going on without it" in caplog.text
        cache.close()

    def test_it_comes_goes_and_comes_back(self, caplog: pytest.LogCaptureFixture) -> None:
        with tempfile.TemporaryDirectory() as folder:
            cache, clock = away(folder, failures=1, reset=10 * SECOND)
            assert cache.get("a") is None
            with local_redis(folder):
                cache.put("a", b"1")
                assert cache.get("a") is None, "the breaker is open"
                clock.advance(10 * SECOND)
                cache.put("a", b"1")
                assert cache.get("a") == b"1"
            assert cache.get("a") is None
            clock.advance(10 * SECOND)
            with local_redis(folder):
                cache.put("a", b"2")
                assert cache.get("a") == b"2"
            assert len(caplog.records) == 2, "one warning for each time that it went away"
            cache.close()

    def test_one_that_does_not_answer_is_not_waited_for_again_and_again(self) -> None:
        """The breaker opens after three calls, whatever number is asked."""
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
            silent.bind(f"{folder}/redis.sock")
            silent.listen(32)
            cache, _ = away(folder, timeout=20 * MILLISECOND)
            for n in range(20):
                assert cache.get(str(n)) is None
            silent.setblocking(False)
            calls = 0
            while True:
                try:
                    silent.accept()[0].close()
                except BlockingIOError:
                    break
                calls += 1
            assert calls == 3
            cache.close()

    def test_a_call_is_not_repeated(self) -> None:
        """A Redis that hangs up at once is asked once per call, with no pause for another try."""
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{folder}/redis.sock")
            server.listen(32)

            def hang_up() -> int:
                for callers in range(100):
                    with server.accept()[0] as caller:
                        if caller.recv(100) == b"end":
                            return callers
                raise AssertionError("nobody said that this is the end")

            with ThreadPoolExecutor(1) as pool:
                counted = pool.submit(hang_up)
                cache, _ = away(folder)
                assert cache.get("a") is None
                with socket.socket(socket.AF_UNIX) as last:
                    last.connect(f"{folder}/redis.sock")
                    last.sendall(b"end")
                assert counted.result(timeout=10) == 1
            cache.close()

    def test_a_wrong_password_is_a_warning_that_does_not_tell_it(
        self, address: str, client: redis.Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.config_set("requirepass", "right")
        try:
            with_it = RedisCache(address, clock=FakeClock(), password="right")
            wrong = RedisCache(address, clock=FakeClock(), password="s3cret-guess")
            with_it.put("a", b"1")
            assert with_it.get("a") == b"1"
            assert wrong.get("a") is None
            assert len(caplog.records) == 1
            assert "s3cret-guess" not in caplog.text
            wrong.close()
            with_it.close()
        finally:
            client.config_set("requirepass", "")

    def test_its_server_ends_with_it(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            with local_redis(folder) as url, redis.Redis.from_url(url) as found:
                assert found.ping()
            cache, _ = away(folder)
            assert cache.drop("") is None
            cache.close()


class TestWiring:
    """E5: `[cache]`."""

    def settings(self, folder: Path, cache: str) -> config.Settings:
        path = folder / config.FILE
        path.write_text(f'[project]\nname = "x"\n[cache]\n{cache}\n', encoding="utf-8")
        return config.load(path, {})

    def test_memory_within_its_bound(self, tmp_path: Path) -> None:
        with wiring.open_cache(self.settings(tmp_path, 'bound = "1MiB"')) as cache:
            cache.put("a", b"x" * 2**19)
            cache.put("b", b"x" * 2**19)
            assert (cache.get("a"), cache.stats().entries) == (None, 1)

    @needs_redis
    def test_a_redis_is_shared(self, tmp_path: Path, address: str, client: redis.Redis) -> None:
        found = self.settings(tmp_path, f'url = "{address}"')
        with wiring.open_cache(found) as one, wiring.open_cache(found) as other:
            one.put("a", b"1")
            assert other.get("a") == b"1"

    @needs_redis
    def test_the_password_comes_from_the_environment(
        self, tmp_path: Path, address: str, client: redis.Redis
    ) -> None:
        found = self.settings(tmp_path, f'url = "{address}"\npassword = "env:REDIS_PASSWORD"')
        client.config_set("requirepass", "right")
        try:
            with wiring.open_cache(found, {"REDIS_PASSWORD": "right"}) as cache:
                cache.put("a", b"1")
                assert cache.get("a") == b"1"
        finally:
            client.config_set("requirepass", "")
        with (
            pytest.raises(ConfigError, match="the variable REDIS_PASSWORD is not set"),
            wiring.open_cache(found, {}),
        ):
            pass

    def test_without_the_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "greenlight.adapters.caches.redis")
        monkeypatch.setitem(sys.modules, "redis", None)
        found = self.settings(tmp_path, 'url = "redis://nowhere"')
        with (
            pytest.raises(ConfigError, match=r"pip install 'greenlight-ml\[redis\]'"),
            wiring.open_cache(found),
        ):
            pass
