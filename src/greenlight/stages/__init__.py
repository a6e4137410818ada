"""The verbs: load, ask the core, save. Stages hand over through records and never call each other."""
