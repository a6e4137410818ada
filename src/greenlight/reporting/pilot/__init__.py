"""The report on a pilot: what one run made, what came of it, and whether it should go further."""
