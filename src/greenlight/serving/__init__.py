"""The hot path: a gateway answers requests, records them, and follows the store."""
