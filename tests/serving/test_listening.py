"""Where a gateway listens: on either family of addresses, and what that is called in a URL."""

from __future__ import annotations

import socket

import pytest

from greenlight.core.errors import Refused
from greenlight.entrypoints.gateway import listen, url_place


def _listens(host: str) -> bool:
    try:
        with listen(host, 0):
            return True
    except Refused:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_gateway_listens_where_it_is_told(host: str) -> None:
    if host == "::1" and not _listens(host):
        pytest.skip("needs IPv6 on the loopback interface")
    with listen(host, 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((host, port), timeout=5):
            pass
        with pytest.raises(Refused, match=rf"cannot listen on .*:{port}: .*choose another port"):
            listen(host, port)


def test_an_address_as_it_stands_in_a_url() -> None:
    assert url_place("127.0.0.1", 8400) == "127.0.0.1:8400"
    assert url_place("::1", 8400) == "[::1]:8400"
