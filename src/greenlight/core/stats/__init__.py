"""The statistics that decide: pure arithmetic, valid at every look."""
