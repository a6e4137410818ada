"""Programs: the command line and the processes that it starts."""
