"""What is shown of a task: its story replayed from the store, as figures, a page and a table."""
