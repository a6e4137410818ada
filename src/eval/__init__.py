"""The frozen evaluation protocol. It judges predictions and chooses nothing."""
