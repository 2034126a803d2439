"""`scripts/matrix`: every Python against the oldest and the newest OpenTelemetry."""

import os

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["newest", "oldest"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
CONSTRAINTS = {"PIP_CONSTRAINT": "constraints.txt", "PIP_BUILD_CONSTRAINT": "constraints.txt"}
# There are none of these for it.
NEWER = (
    "opentelemetry-configuration",
    "opentelemetry-exporter-otlp-json-http",
    "opentelemetry-instrumentation-logging",
    "opentelemetry-instrumentation-structlog",
)
PARALLEL = ["-n", str(2 * (os.cpu_count() or 1)), "--dist", "worksteal"]  # as scripts/test
OLDEST = [
    "opentelemetry-api==1.39.0",
    "opentelemetry-sdk==1.39.0",
    "rq==2.0.0",  # its workers are subclassed in a recipe
    "redis<6",
]


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """All tests, with the versions of constraints.txt."""
    session.install("pip>=25.1")
    session.install(".[devserver,reader]", "--group", "dev", env=CONSTRAINTS)
    session.run("python", "-m", "pytest", "-q", *PARALLEL, *session.posargs)


@nox.session(python=PYTHONS)
def oldest(session: nox.Session) -> None:
    """The oldest OpenTelemetry: what needs a newer one is skipped, and says so."""
    beside = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "dev")
    session.install(
        ".[devserver,reader]",
        *OLDEST,
        *(one for one in beside if not one.startswith(NEWER)),
    )
    session.run("python", "-m", "pytest", "-q", *PARALLEL, *session.posargs)
