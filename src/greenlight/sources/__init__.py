"""Rows of an installation's own: from a file, a query, or what people said of answers."""
