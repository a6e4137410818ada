"""Where a version answers: inside the gateway, or behind an address."""
