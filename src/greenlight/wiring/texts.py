"""Files that people write for models: templates and instructions."""

from __future__ import annotations

from pathlib import Path

from greenlight.core.errors import BadInput


def text_of(file: Path) -> str:
    """What a file says.

    Raises:
        BadInput: it is no text in UTF-8, or not there.
    """
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: no readable text in UTF-8 ({error})", "prompt") from error
