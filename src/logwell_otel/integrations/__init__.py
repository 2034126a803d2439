"""Optional parts for other people's frameworks. Nothing here is imported by default."""
