"""Where a setting comes from: argument, variable, key file, a configuration file's types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import LogwellError, LogwellLogExporter, configure
from logwell_otel._config.options import Config
from support.config import ENDPOINT, KEY, refused, resolve

if TYPE_CHECKING:
    from pathlib import Path

OTHER_KEY = "lw_" + "o" * 32


def test_an_argument_comes_before_its_variable() -> None:
    environ = {
        "LOGWELL_ENDPOINT": "https://other.example",
        "LOGWELL_API_KEY": OTHER_KEY,
        "LOGWELL_SERVICE": "other",
        "LOGWELL_TIMEOUT": "99",
        "LOGWELL_HEADERS": "X-Other=1",
        "LOGWELL_SOURCE_LOCATION": "true",
    }
    config = Config.resolve(
        environ,
        endpoint=ENDPOINT,
        api_key=KEY,
        service="shop",
        timeout=5,
        headers={"X-Mine": "2"},
        source_location=False,
    )
    assert config.endpoint == ENDPOINT
    assert config.api_key.reveal() == KEY
    assert (config.service, config.timeout, config.source_location) == ("shop", 5.0, False)
    assert dict(config.headers) == {"X-Mine": "2"}
    assert {config.origins[name] for name in ("endpoint", "api_key", "service")} == {"argument"}
    assert config.origins["level"] == "default"


def test_variables_stand_in_for_arguments() -> None:
    environ = {
        "LOGWELL_ENDPOINT": f" {ENDPOINT}\n",
        "LOGWELL_API_KEY": f"{KEY}\n",
        "LOGWELL_SERVICE": "shop",
        "LOGWELL_TIMEOUT": "2.5",
        "LOGWELL_HEADERS": "X-Tenant=a%20b, X-Token=t",
        "LOGWELL_LEVEL": "warning",
        "LOGWELL_SOURCE_LOCATION": "off",
        "LOGWELL_MAX_QUEUE_BYTES": "2097152",
        "LOGWELL_REQUESTS_PER_MINUTE": "60",
        "LOGWELL_REQUESTS_PER_HOUR": "1000",
    }
    config = Config.resolve(environ)
    assert (config.endpoint, config.api_key.reveal()) == (ENDPOINT, KEY)
    assert (config.service, config.timeout, config.level) == ("shop", 2.5, "warn")
    assert dict(config.headers) == {"X-Tenant": "a b", "X-Token": "t"}
    assert config.source_location is False
    assert config.max_queue_bytes == 2_097_152
    assert (config.requests_per_minute, config.requests_per_hour) == (60.0, 1000.0)
    assert config.origins["timeout"] == "LOGWELL_TIMEOUT"


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGWELL_ENDPOINT", ENDPOINT)
    monkeypatch.setenv("LOGWELL_API_KEY", KEY)
    assert Config.resolve().endpoint == ENDPOINT


@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
def test_an_empty_variable_is_unset(empty: str) -> None:
    names = {name.upper() for name in resolve().origins}
    environ = {f"LOGWELL_{name}": empty for name in names - {"ENDPOINT", "API_KEY"}}
    config = resolve(environ, endpoint=ENDPOINT, api_key=KEY)
    assert config.origins == resolve().origins
    assert config.timeout == 10.0


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_argument_leaves_the_variable(empty: str) -> None:
    # `service=os.environ.get("NAME", "")` is how such an argument comes about.
    environ = {"LOGWELL_ENDPOINT": ENDPOINT, "LOGWELL_API_KEY": KEY, "LOGWELL_TIMEOUT": "3"}
    config = Config.resolve(environ, endpoint=empty, api_key=empty, timeout=empty, service=empty)
    assert (config.endpoint, config.timeout, config.service) == (ENDPOINT, 3.0, None)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    return path


def resolve_key(environ: dict[str, str], **arguments: Any) -> str:
    return Config.resolve(environ, endpoint=ENDPOINT, **arguments).api_key.reveal()


def test_the_key_comes_from_a_file(key_file: Path) -> None:
    assert resolve_key({}, api_key_file=key_file) == KEY
    assert resolve_key({}, api_key_file=str(key_file)) == KEY
    assert resolve_key({"LOGWELL_API_KEY_FILE": str(key_file)}) == KEY


def test_key_and_key_file_argument_before_variable_and_key_before_file(key_file: Path) -> None:
    file = str(key_file)
    assert resolve_key({}, api_key=OTHER_KEY, api_key_file=file) == OTHER_KEY
    assert resolve_key({"LOGWELL_API_KEY": OTHER_KEY, "LOGWELL_API_KEY_FILE": file}) == OTHER_KEY
    assert resolve_key({"LOGWELL_API_KEY": OTHER_KEY}, api_key_file=file) == KEY
    assert resolve_key({"LOGWELL_API_KEY_FILE": file}, api_key=OTHER_KEY) == OTHER_KEY


FORM = "'lw_' and 32 characters of A-Z, a-z, 0-9, '_' and '-'"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("k" * 35, "35 characters that do not begin with 'lw_'"),
        ("LW_" + "k" * 32, "35 characters that do not begin with 'lw_'"),
        ("lw_" + "k" * 31, "34 characters"),
        ("lw_" + "k" * 33, "36 characters"),
        ("lw_" + "k" * 31 + "!", "a character outside A-Z, a-z, 0-9, '_' and '-'"),
        ("lw_" + "k" * 31 + "é", "a character outside A-Z, a-z, 0-9, '_' and '-'"),
        (12345, "5 characters that do not begin with 'lw_'"),
    ],
)
def test_a_key_of_the_wrong_form(key: str | int, found: str, tmp_path: Path) -> None:
    assert refused(api_key=key) == (
        f"api_key (LOGWELL_API_KEY): expected {FORM}, got {found} from the argument."
    )
    path = tmp_path / "key"
    path.write_text(f"{key}\n", encoding="utf-8")
    assert refused({"LOGWELL_API_KEY_FILE": str(path)}, api_key=None) == (
        f"api_key_file (LOGWELL_API_KEY_FILE): expected a file that holds a key: {FORM}, got a "
        f"file with {found} from the variable LOGWELL_API_KEY_FILE."
    )


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_key_file(content: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    assert "got a file with nothing from" in refused(api_key=None, api_key_file=path)


def test_yaml_types() -> None:
    """OpenTelemetry's configuration file passes what YAML makes of `${VAR}`."""
    config = resolve(
        service=20261120,
        headers={"X-Account": 1234567890123456789, "X-Ratio": 0.5, 42: "x"},
        timeout=30,
        level="info",
        source_location=False,
        max_queue_bytes="1048576",
        requests_per_minute=120,
        requests_per_hour=None,
    )
    assert config.service == "20261120"
    assert dict(config.headers) == {"X-Account": "1234567890123456789", "X-Ratio": "0.5", "42": "x"}
    assert (config.timeout, config.requests_per_minute) == (30.0, 120.0)
    assert config.max_queue_bytes == 1_048_576


def test_a_misspelt_argument_is_a_type_error() -> None:
    """For the type checker too: it would call an `ignore` that ignores nothing an error."""
    with pytest.raises(TypeError, match="'endpont': did you mean 'endpoint'"):
        LogwellLogExporter(endpont=ENDPOINT)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'sevice': did you mean 'service'"):
        configure(ENDPOINT, KEY, sevice="shop")  # type: ignore[call-arg]
    for name in ("quite_another", "environ", "proxy", "origins"):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            LogwellLogExporter(ENDPOINT, KEY, **{name: {}})  # type: ignore[arg-type]


def test_an_argument_of_another_type_is_an_error_of_the_type_checker() -> None:
    with pytest.raises(LogwellError, match="expected a number from"):
        LogwellLogExporter(ENDPOINT, KEY, timeout="soon")  # type: ignore[arg-type]
