"""Where records and events are kept: in memory, or in a SQL database."""
