"""Takes personal data and credentials out of entries before they leave the process."""

from logwell_otel.redaction.redactor import Redactor

__all__ = ["Redactor"]
