"""The settings as an exporter would have them, where each came from, and the spool directory."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._config.options import OPTIONS
from logwell_otel._config.secrets import ApiKey
from logwell_otel._config.settings import from_file, variable_of
from logwell_otel._diagnostics import hide_keys
from logwell_otel._storage import StorageError, private_directory, real
from logwell_otel.cli.check.report import Finding, Setting, failed, passed, warning
from logwell_otel.cli.pools import list_spools

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel._config.options import Config
    from logwell_otel._config.secrets import Credential

_MASK: Final = "***"
_SECRETS: Final = ("api_key", "sampling_token")
_PREFIX: Final = "LOGWELL_"
_OF_COMMANDS: Final = ("PASSWORD", "PASSWORD_FILE", "PROJECT", "SESSION_FILE", "USERNAME")
"""What only the commands that read look at."""

_TRIED: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("ADDRESS", "BASE_URL", "HOST", "SERVER", "SERVER_URL", "URI", "URL"), ("ENDPOINT",)
    ),
    **dict.fromkeys(("API_TOKEN", "INGEST_KEY", "KEY", "TOKEN"), ("API_KEY",)),
    **dict.fromkeys(("KEY_FILE", "TOKEN_FILE"), ("API_KEY_FILE",)),
    **dict.fromkeys(("CA", "CA_BUNDLE", "CA_CERT", "CA_FILE", "CERT"), ("CERTIFICATE_FILE",)),
    **dict.fromkeys(("CLIENT_CERT", "CLIENT_CERT_FILE"), ("CLIENT_CERTIFICATE_FILE",)),
    "CLIENT_KEY": ("CLIENT_KEY_FILE",),
    "DSN": ("ENDPOINT", "API_KEY"),
    **dict.fromkeys(("DIR", "SPOOL", "SPOOL_DIRECTORY", "SPOOL_PATH"), ("SPOOL_DIR",)),
    **dict.fromkeys(("APP_NAME", "SERVICE_NAME"), ("SERVICE",)),
    **dict.fromkeys(("LOGLEVEL", "LOG_LEVEL"), ("LEVEL",)),
    **dict.fromkeys(("MAX_QUEUE_SIZE", "QUEUE_SIZE"), ("MAX_QUEUE_BYTES",)),
}
"""Names that people try, because other packages have them."""

_SLIP: Final = 0.85
"""How alike a slip of the pen is: LOGWELL_ENDPIONT is 0.88, LOGWELL_TEST_ENDPOINT 0.76."""


def settings_of(
    config: Config, arguments: Mapping[str, Any], environ: Mapping[str, str]
) -> list[Setting]:
    """Every setting, secrets masked.

    Args:
        config: What was resolved.
        arguments: What it was resolved from.
        environ: Likewise.
    """
    shown = []
    for name in names():
        origin, value = config.origins[name], getattr(config, name)
        if name in _SECRETS:
            value = _masked(value)
            origin = config.origins[f"{name}_file"] if from_file(config.origins, name) else origin
        elif name.removesuffix("_file") in _SECRETS:
            # The config holds the secret, not the path.
            given = arguments.get(name) or environ.get(variable_of(name))
            value = None if origin == "default" else hide_keys(str(given).strip())
        elif name == "headers":
            value = ", ".join(f"{header}={_MASK}" for header in config.headers) or None
        else:
            value = _text(value)
        shown.append(Setting(name, value, origin))
    return shown


def names() -> list[str]:
    """The settings that have a variable."""
    return [name for name, option in OPTIONS.items() if option["variable"]]


def as_variables(arguments: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a start finds these arguments as LOGWELL_* variables.

    Args:
        arguments: Settings that were given as arguments.
        environ: The environment.
    """
    variables = {
        variable_of(name): str(value) for name, value in arguments.items() if value is not None
    }
    # A key file that was given comes before a key from a variable.
    replaced = {
        variable_of(name)
        for name in _SECRETS
        if variable_of(f"{name}_file") in variables and variable_of(name) not in variables
    }
    kept = {name: value for name, value in environ.items() if name not in replaced}
    return {**kept, **variables}


def unknown_variables(environ: Mapping[str, str]) -> Finding | None:
    """LOGWELL_* variables that are meant for us by the look of them, and that nobody reads.

    Others' are none of our business: a server's own begin with LOGWELL_ too.
    """
    meant = {
        name: wanted
        for name in sorted(environ)
        if name.upper().startswith(_PREFIX) and (wanted := _wanted(name))
    }
    if not meant:
        return None
    return warning(
        f"{', '.join(meant)}: no setting has this name",
        " ".join(f"{name}: did you mean {wanted}?" for name, wanted in meant.items()),
    )


def spool_directory(directory: Path) -> Finding:
    """Whether entries can be kept in `directory`, and what lies there.

    Creates nothing: who runs the check may be another user than the application's.
    """
    if _exists(directory):
        try:
            private_directory(directory)
            held = sum(pool.entries for pool in list_spools(directory))
        except StorageError as error:
            return failed(str(error), "Exporters do not start until this is changed.")
        found = f"{directory} can be used, {held} entries wait there"
    else:
        parent = next(path for path in directory.absolute().parents if _exists(path))
        if not os.access(parent, os.W_OK | os.X_OK):
            return failed(
                f"{directory} does not exist, and cannot be created in {parent}",
                "Create it for the user who runs the application, with mode 0700.",
            )
        found = f"{directory} does not exist yet, and will be created"
    if _emptied_at_restart(directory):
        return warning(
            f"{found}; but what lies there does not survive a restart of the machine",
            "Name a directory on a disk, in a container one on a volume, in spool_dir "
            "(LOGWELL_SPOOL_DIR).",
        )
    return passed(found)


def _masked(secret: Credential | None) -> str | None:
    """A key is told from another one by its last 4 characters; a token may be all that short."""
    if isinstance(secret, ApiKey):
        return f"lw_{_MASK}{secret.reveal()[-4:]}"
    return None if secret is None else _MASK


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={item}" for name, item in value.items()) or None
    if isinstance(value, tuple):
        return ", ".join(value) or None
    return str(value)


def _wanted(variable: str) -> str | None:
    """What whoever set this variable meant to set; None where it is right, or none of ours."""
    ours = [variable_of(name).removeprefix(_PREFIX) for name in names()]
    stray = variable[len(_PREFIX) :].upper()
    if variable.startswith(_PREFIX) and variable[len(_PREFIX) :] in (*ours, *_OF_COMMANDS):
        return None
    wanted = _TRIED.get(stray) or difflib.get_close_matches(stray, ours, n=1, cutoff=_SLIP)
    return " and ".join(f"{_PREFIX}{name}" for name in wanted) or None


def _emptied_at_restart(directory: Path) -> bool:
    """Whether `directory` lies where systems delete files at boot, by its path.

    Such a directory still survives the end of a process, which may be all that is wanted.
    """
    volatile = ["/tmp", "/dev/shm", "/run", tempfile.gettempdir()]  # noqa: S108 - looked for, not used
    return any(real(directory).is_relative_to(real(path)) for path in volatile)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # Python 3.10 raises where a directory above it cannot be entered
        return False
