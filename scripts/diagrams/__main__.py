"""Write the pages with diagrams and the picture of the loop: `python -m scripts.diagrams`."""

from __future__ import annotations

from scripts.diagrams import loop
from scripts.diagrams.pages import PAGES
from scripts.diagrams.story import tell


def main() -> None:
    """Run the story that the pages show; write them and the picture."""
    story = tell()
    for path, page in PAGES.items():
        path.write_text(page(story), encoding="utf-8")
        print(f"wrote {path}")
    loop.PATH.write_text(loop.drawn(), encoding="utf-8")
    print(f"wrote {loop.PATH}")


if __name__ == "__main__":
    main()
