"""What every `ports.Blobs` does."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from greenlight import artifacts
from greenlight.adapters.blobs import FolderBlobs
from greenlight.core.errors import NotFound, Tampered
from greenlight.ports import Blobs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def blobs(root: Path) -> Blobs:
    return FolderBlobs(root)


def sealed(folder: Path, content: str = "one") -> tuple[str, str]:
    """A sealed folder with a file and a folder in it; its path and digest."""
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file.txt").write_text(content)
    (folder / "top.bin").write_bytes(bytes(range(256)))
    return str(folder), artifacts.seal(folder, {"kind": "thing"})


def test_a_folder_comes_back_under_its_digest(blobs: Blobs, tmp_path: Path) -> None:
    """Whole, and independent of where it came from."""
    folder, digest = sealed(tmp_path / "a")
    assert blobs.add(folder) == digest
    Path(folder, "top.bin").write_bytes(b"changed later")
    kept = blobs.path(digest)
    assert artifacts.unseal(kept, digest)["kind"] == "thing"
    assert Path(kept, "deep", "file.txt").read_text() == "one"


def test_adding_again_changes_nothing(blobs: Blobs, root: Path, tmp_path: Path) -> None:
    """One folder per digest, also from several threads at once."""
    made = [sealed(tmp_path / str(number)) for number in range(8)]
    together = threading.Barrier(8)

    def add(folder: str) -> str:
        together.wait()
        return blobs.add(folder)

    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(add, [folder for folder, _ in made]))
    assert set(digests) == {made[0][1]}
    assert [path.name for path in root.iterdir()] == [made[0][1].removeprefix("sha256:")]


def test_a_folder_that_is_not_as_sealed_is_not_taken(
    blobs: Blobs, root: Path, tmp_path: Path
) -> None:
    """Nothing of it is kept."""
    folder, _ = sealed(tmp_path / "a")
    Path(folder, "top.bin").write_bytes(b"changed")
    with pytest.raises(Tampered, match=r"top\.bin"):
        blobs.add(folder)
    assert not root.exists()


def test_a_damaged_copy_is_noticed_when_added_again(blobs: Blobs, tmp_path: Path) -> None:
    """Nobody is told that a folder is safely there when it is not."""
    folder, digest = sealed(tmp_path / "a")
    blobs.add(folder)
    path = Path(blobs.path(digest), "top.bin")
    path.chmod(0o600)
    path.write_bytes(b"changed")
    with pytest.raises(Tampered, match=r"top\.bin"):
        blobs.add(folder)


def test_an_unknown_digest_says_what_is_there(blobs: Blobs, tmp_path: Path) -> None:
    """Also before anything is there, and for names that are no digests."""
    unknown = "sha256:" + "0" * 64
    with pytest.raises(NotFound, match="there: none"):
        blobs.path(unknown)
    _, first = sealed(tmp_path / "a")
    blobs.add(str(tmp_path / "a"))
    for name in (unknown, "sha256:..", "..", "", first.removeprefix("sha256:")):
        with pytest.raises(NotFound, match=first):
            blobs.path(name)
    for number in range(6):
        blobs.add(sealed(tmp_path / str(number), str(number))[0])
    with pytest.raises(NotFound, match="and 2 more"):
        blobs.path(unknown)


def test_a_folder_can_be_erased(blobs: Blobs, root: Path, tmp_path: Path) -> None:
    """D11: wholly, write-protected or not; the others stay, and it may come back."""
    first, second = (sealed(tmp_path / name, name) for name in ("a", "b"))
    for folder, _ in (first, second):
        blobs.add(folder)
    assert blobs.digests() == sorted([first[1], second[1]])
    kept = Path(blobs.path(first[1]))
    (kept / "top.bin").chmod(0o400)
    (kept / "deep").chmod(0o500)
    for _ in range(2):
        blobs.remove(first[1])
        assert blobs.digests() == [second[1]]
    with pytest.raises(NotFound):
        blobs.path(first[1])
    assert [path.name for path in root.iterdir()] == [second[1].removeprefix("sha256:")]
    assert blobs.add(first[0]) == first[1]


@pytest.mark.parametrize("name", ["", "..", "sha256:..", "sha256:" + "0" * 64])
def test_erasing_what_is_not_there_erases_nothing(blobs: Blobs, tmp_path: Path, name: str) -> None:
    """Also before anything is there, and for names that are no digests."""
    blobs.remove(name)
    folder, digest = sealed(tmp_path / "a")
    blobs.add(folder)
    blobs.remove(name)
    assert blobs.digests() == [digest]


def test_a_kill_while_erasing_leaves_nothing_for_good(
    blobs: Blobs, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D11: half of a folder is nobody's, and the next call takes it away."""
    folder, digest = sealed(tmp_path / "a")
    blobs.add(folder)
    with monkeypatch.context() as killed:

        def kill(_: object) -> None:
            raise KeyboardInterrupt

        killed.setattr("greenlight.adapters.blobs.shutil.rmtree", kill)
        with pytest.raises(KeyboardInterrupt):
            blobs.remove(digest)
    assert blobs.digests() == []
    blobs.remove(digest)
    assert list(root.iterdir()) == []


def test_what_is_kept_is_write_protected_and_may_be_read(
    blobs: Blobs, root: Path, tmp_path: Path
) -> None:
    """D8: nobody changes it by mistake; a source's private folder does not lock others out."""
    folder, digest = sealed(tmp_path / "a")
    for path in (Path(folder), Path(folder, "deep")):
        path.chmod(0o700)
    before = os.umask(0o022)
    try:
        blobs.add(folder)
    finally:
        os.umask(before)
    kept = Path(blobs.path(digest))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [kept, *kept.rglob("*")]}
    assert modes == {
        kept.name: 0o755,
        "deep": 0o755,
        "file.txt": 0o444,
        "top.bin": 0o444,
        artifacts.MANIFEST: 0o444,
    }


def test_it_is_on_the_disk_before_anybody_is_told(
    blobs: Blobs, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file, every folder and the root that names it, in that order, survive a power cut."""
    synced: list[str] = []
    really = os.fsync

    def note(handle: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), root))
        really(handle)

    monkeypatch.setattr(os, "fsync", note)
    folder, digest = sealed(tmp_path / "a")
    blobs.add(folder)
    name = digest.removeprefix("sha256:")
    inside = [path.partition(name)[2].lstrip("/") for path in synced[:-1]]
    assert inside == ["deep/file.txt", "deep", artifacts.MANIFEST, "top.bin", ""]
    assert synced[-1] == "."


def test_a_kill_while_adding_leaves_nothing_for_good(
    blobs: Blobs, root: Path, tmp_path: Path
) -> None:
    """Half a folder is cleared away by the next who adds, unless it is somebody's."""
    half = root / ".adding-abc"
    (half / "deep").mkdir(parents=True)
    other = os.open(root, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)
    blobs.add(sealed(tmp_path / "a")[0])
    assert half.exists()
    os.close(other)
    blobs.add(sealed(tmp_path / "b", "two")[0])
    assert not [path for path in root.iterdir() if path.name.startswith(".")]


FULL = """
import resource, sys
from greenlight.adapters.blobs import FolderBlobs
from greenlight.core.errors import Unwritable

root, folder = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    FolderBlobs(root).add(folder)
except Unwritable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(FolderBlobs(root).digests(), FolderBlobs(root).add(folder))
"""


def test_a_disk_that_takes_no_more_is_said(root: Path, tmp_path: Path) -> None:
    """The message names the folder and the fix, nothing is left behind, and a retry works."""
    folder, digest = sealed(tmp_path / "a", "long" * 1000)
    command = [sys.executable, "-c", FULL, str(root), folder]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [
        f"{root}: File too large; raise the limit on the size of files (ulimit -f)",
        f"[] {digest}",
    ]
    assert [path.name for path in root.iterdir()] == [digest.removeprefix("sha256:")]


READ_ONLY = """
import os, sys
from pathlib import Path
from greenlight.adapters.blobs import FolderBlobs
from greenlight.core.errors import Unwritable

root, folder = sys.argv[1:]
Path(folder).parent.chmod(0o755)
Path(root).mkdir(mode=0o555)
if os.getuid() == 0:
    os.seteuid(65534)
try:
    FolderBlobs(root).add(folder)
except Unwritable as error:
    print(error)
if os.getuid() == 0:
    os.seteuid(0)
Path(root).chmod(0o755)
print(FolderBlobs(root).digests(), FolderBlobs(root).add(folder))
"""


def test_a_folder_that_may_not_be_written_to_is_said() -> None:
    """And once it may be, the same call works."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "blobs")
        folder, digest = sealed(Path(place, "a"))
        command = [sys.executable, "-c", READ_ONLY, str(root), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{root}: Permission denied; give this user the right to write there, "
        "or choose another folder",
        f"[] {digest}",
    ]
