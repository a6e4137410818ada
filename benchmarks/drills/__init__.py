"""The drills that DEMO.md shows: every fault, by evidence and by alarm, from an empty folder."""
