"""What every `ports.Blobs` does."""

from __future__ import annotations

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
    Path(blobs.path(digest), "top.bin").write_bytes(b"changed")
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
