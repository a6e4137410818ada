"""The outside world behind the ports; adapters never import each other."""
