"""Getting entries to the server."""
