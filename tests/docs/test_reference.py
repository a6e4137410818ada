"""The tables of the reference pages are what the code says, and every call on a page is one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from greenlight.config import Document
from greenlight.entrypoints.cli import lazy, main
from scripts.diagrams import loop
from scripts.reference import blocks, commands, settings
from scripts.reference.pages import COMMAND, PAGES, made

ROOT = Path(__file__).parents[2]
CLI = ROOT / "docs/cli.md"
CODE = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INNER = re.compile(r"\$\(([^()]*)\)")
CALL = re.compile(r"(?:^|[|;]\s*|\$\s)(?:[A-Z_]+=\S+ )*greenlight (.+)")
SHOWN = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_is_what_the_code_says(path: Path) -> None:
    """X5: a setting, option, endpoint or metric that changes shows in the reference."""
    assert path.read_text(encoding="utf-8") == made(path), f"{path.name} is stale: run {COMMAND}"


def test_the_picture_is_what_the_code_says() -> None:
    """X1"""
    stale = "loop.svg is stale: run python -m scripts.diagrams"
    assert loop.PATH.read_text(encoding="utf-8") == loop.drawn(), stale


def test_every_setting_has_a_meaning() -> None:
    """X5"""
    found = list(settings.settings(Document))
    assert len(found) > 80
    assert [setting.path for setting in found if not setting.meaning] == []
    assert settings.SEE.keys() <= {setting.path for setting in found}


def test_every_option_says_what_it_does() -> None:
    """X5"""
    silent = [
        f"{name} {option.opts[0]}"
        for name, command, context in commands.commands()
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden and not option.help
    ]
    assert silent == []


def test_exit_codes_are_documented() -> None:
    """X5"""
    said = re.findall(r"^\| (\d) \| [a-z]", CLI.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(code) for code in said] == [0, lazy.NOT_OK, lazy.USAGE, lazy.WARNED]


class TestBlocks:
    """What stands between markers is written anew, and nothing else is touched."""

    PAGE = f"a\n{blocks.begin('x')}\nold\n{blocks.END}\nb\n"

    def test_a_block_is_replaced(self) -> None:
        written = blocks.written(self.PAGE, {"x": "new\n"})
        assert written == self.PAGE.replace("old", "new") and written != self.PAGE
        assert blocks.written(written, {"x": "new\n"}) == written

    @pytest.mark.parametrize(
        ("page", "known", "message"),
        [
            (PAGE, {"x": "", "y": ""}, "'y' stands there 0 times"),
            (PAGE + PAGE, {"x": ""}, "'x' stands there 2 times"),
            (PAGE, {}, "nothing is known of the block 'x'"),
        ],
    )
    def test_markers_that_do_not_fit_are_refused(
        self, page: str, known: dict[str, str], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            blocks.written(page, known)

    def test_a_page_without_markers_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "page.md"
        path.write_text("nothing", encoding="utf-8")
        known = PAGES[CLI]()
        with pytest.raises(ValueError, match="stands there 0 times"):
            blocks.written(path.read_text(encoding="utf-8"), known)


def calls(page: str) -> list[str]:
    """The calls of `greenlight` in the blocks of a page that are to be typed, without comments."""
    code = "\n".join(CODE.findall(page)).replace("\\\n", " ")
    lines = [*INNER.sub("X", code).splitlines(), *INNER.findall(code)]
    found = (CALL.search(line.removeprefix("$ ")) for line in lines)
    return [match[1] for match in found if match]


def fault(call: str) -> str | None:
    """What is wrong with a call: an unknown command or option."""
    words = _words(call)
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        if words[0] in ("-C", "--directory", "--config"):
            words = words[2:]
        elif words[0].startswith("--"):
            return None
        else:
            below = command.get_command(click.Context(command), words[0])
            if below is None:
                return f"no command {words[0]}"
            command, words = below, words[1:]
    known = {name for option in command.params for name in option.opts} | {"-h", "--help"}
    unknown = [word for word in words if re.match("-.", word) and word not in known]
    return f"no option {unknown[0]}" if unknown else None


def _words(call: str) -> list[str]:
    """The words of a call, up to where another one takes over."""
    own = re.split(r"\s[|>&]|[;)]", call)[0]
    try:
        return shlex.split(own, comments=True)
    except ValueError:  # cut off within quotes
        return own.split()


def test_every_call_on_a_page_is_one() -> None:
    """X1, X5: what is copied from a page, the command line knows."""
    found = {
        f"{path.relative_to(ROOT)}: {call}": fault(call)
        for path in SHOWN
        for call in calls(path.read_text(encoding="utf-8"))
    }
    assert len(found) > 100
    assert {call: wrong for call, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("greenlight cook", "no command cook"),
        ("$ greenlight runs burn 'intent#1'", "no command burn"),
        (
            "GREENLIGHT_PERSON_KEY=$(cat keys/ana) greenlight approve a@1 -m why --now",
            "no option --now",
        ),
        ("echo x | tee y; greenlight run intent --quickly", "no option --quickly"),
        ('echo "$(greenlight rollouts list --late | tail -1)"', "no option --late"),
        ("greenlight run intent > -x", None),
        ("greenlight -C desk status --watch      # --never", None),
    ],
)
def test_a_wrong_call_is_found(line: str, wrong: str | None) -> None:
    (call,) = calls(f"```sh\n{line}\n```\n")
    assert fault(call) == wrong
