"""The verbs: load, ask the core, save. Stages hand over through records."""
