"""From a log record to the bytes of an entry."""
