"""What the models say to a few texts that were written for it."""
