"""Where bytes are kept that can be had again: this process, or a Redis."""
