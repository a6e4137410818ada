"""Channels for messages to people and programs."""
