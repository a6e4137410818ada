"""The diagrams in docs/, generated from code: `python -m scripts.diagrams` writes them."""
