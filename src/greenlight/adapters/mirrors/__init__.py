"""Other places that show runs and versions."""
