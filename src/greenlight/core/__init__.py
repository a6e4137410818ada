"""The rules, without any I/O: values in, values out. `now` and generators are arguments."""
