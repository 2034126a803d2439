"""Settings: what can be set, and from where."""
