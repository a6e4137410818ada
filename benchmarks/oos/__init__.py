"""How well texts out of scope are told."""
