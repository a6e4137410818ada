"""Write the list of scenarios in docs/proofs.md anew: `python -m scripts.proofs`.

A scenario is a test of a whole rollout; its name is a sentence, and its docstring says what for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs/proofs.md"
COMMAND = "python -m scripts.proofs"
PLACES = ("tests/scenarios", "tests/exploration", "tests/core/test_rollout_machine.py")
BLOCK = re.compile(
    r"(?<=<!-- scenarios:begin -->\n).*?(?=\n<!-- scenarios:end -->)", re.MULTILINE | re.DOTALL
)


def made() -> str:
    """The page as it should be."""
    text = PATH.read_text(encoding="utf-8")
    return BLOCK.sub(lambda _: "\n" + "\n".join(_sections()), text)


def files() -> list[Path]:
    """The test files that are listed, in order."""
    found: list[Path] = []
    for place in PLACES:
        path = ROOT / place
        found += sorted(path.glob("test_*.py")) if path.is_dir() else [path]
    return found


def _sections() -> Iterator[str]:
    for path in files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(ROOT).as_posix()
        yield f"**{_theme(tree)}** ([{path.name}](../{name}))\n"
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"- {_scenario(node)}"
        yield ""


def _theme(tree: ast.Module) -> str:
    """What a file is about: the first sentence of its docstring, without requirement numbers."""
    first = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
    return re.sub(r" \([^()]*\)", "", first).split(". ")[0].rstrip(".:")


def _scenario(node: ast.FunctionDef) -> str:
    """A test's name as words, and why it does not hold if that is known."""
    words = node.name.removeprefix("test_").replace("_", " ")
    missing = "".join(f" (**not yet**: {reason})" for reason in _known_faults(node))
    return words[0].upper() + words[1:] + missing


def _known_faults(node: ast.FunctionDef) -> Iterator[str]:
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.xfail":
            yield from (
                str(ast.literal_eval(given.value))
                for given in mark.keywords
                if given.arg == "reason"
            )


def main() -> None:
    """Write the page."""
    PATH.write_text(made(), encoding="utf-8")
    print(f"wrote {PATH.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
