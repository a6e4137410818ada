"""Whole tasks, each with a configuration of its own; README.md says what they are."""
