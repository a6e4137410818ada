"""Write the tables of the reference pages anew: `python -m scripts.reference`."""

from __future__ import annotations

from scripts.reference.pages import DOCS, PAGES, made


def main() -> None:
    """Write every page."""
    for path in PAGES:
        path.write_text(made(path), encoding="utf-8")
        print(f"wrote docs/{path.relative_to(DOCS)}")


if __name__ == "__main__":
    main()
