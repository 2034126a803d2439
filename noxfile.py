"""`scripts/matrix`: every Python against the oldest and the newest OpenTelemetry."""

import nox

nox.options.default_venv_backend = "venv"
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
OLDEST = ["opentelemetry-api==1.39.0", "opentelemetry-sdk==1.39.0"]


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """All tests, with the newest of everything."""
    session.install(".[dev]")
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session(python=PYTHONS)
def oldest(session: nox.Session) -> None:
    """The oldest OpenTelemetry: what needs a newer one is skipped, and says so."""
    session.install(".[devserver]", *OLDEST)
    session.install("cryptography", "hypothesis", "pytest", "respx", "structlog", "trustme")
    session.run("python", "-m", "pytest", "-q", *session.posargs)
