"""Greenlight: every new version of a model earns its traffic with evidence."""

__version__ = "0.1.0"
