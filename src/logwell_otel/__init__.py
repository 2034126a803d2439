"""OpenTelemetry logs exporter for Logwell."""
