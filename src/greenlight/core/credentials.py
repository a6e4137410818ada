"""Keys of providers: they come by variables of the environment, and are never shown or kept."""

from __future__ import annotations

from collections.abc import Mapping


def look_up(reference: str, environ: Mapping[str, str]) -> tuple[str, str | None]:
    """The key that a reference names.

    A key that is no header would stand, whole, in the error of whoever tries to send it; so it is
    looked at here.

    Args:
        reference: `env:NAME`.
        environ: the variables.

    Returns:
        The key; and what is wrong with it and how to mend that, without the key, or None.
    """
    variable = reference.removeprefix("env:")
    key = environ.get(variable, "")
    if not key:
        return "", f"the variable {variable} is not set; set it to the key"
    if not key.isascii() or not key.isprintable() or key != key.strip():
        return "", (
            f"the variable {variable} holds more than a key: a line break, white space at an end, "
            "or characters beyond ASCII; set it to the key alone"
        )
    return key, None
