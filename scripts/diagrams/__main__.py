"""Write the pages with diagrams: `python -m scripts.diagrams`."""

from __future__ import annotations

from scripts.diagrams.pages import PAGES
from scripts.diagrams.story import tell


def main() -> None:
    """Run the story that the pages show, and write them."""
    story = tell()
    for path, page in PAGES.items():
        path.write_text(page(story), encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
