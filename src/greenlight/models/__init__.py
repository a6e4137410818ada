"""Text classifiers: features, the sentence encoder, the linear head, and bundles of all three."""
