"""Every setting with its default, its bounds, and what is said about a wrong value."""

from __future__ import annotations

import pwd
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel import LogwellError, LogwellErrorCode
from logwell_otel._config.options import MIB, Config
from support.config import ENDPOINT, attempt, refused, resolve

# One number and one integer: least and most. Every setting's own are held to its row in
# docs/configuration.md by test_config_page.py, and so are all defaults.
RANGES = {"timeout": (0.1, 300), "max_queue_bytes": (MIB, 4096 * MIB)}


def variable(setting: str) -> str:
    return f"LOGWELL_{setting.upper()}"


def check_refused(setting: str, value: Any, expected: str, got: str) -> None:
    """As an argument, and as a variable where it can be one."""
    said = f"{setting} ({variable(setting)}): expected {expected}, got {got} from"
    assert refused(**{setting: value}) == f"{said} the argument."
    if isinstance(value, str):
        assert refused({variable(setting): value}) == f"{said} the variable {variable(setting)}."


def test_only_endpoint_and_key_are_needed() -> None:
    config = resolve()
    assert config.endpoint == ENDPOINT
    assert config.ingest_url == f"{ENDPOINT}/v1/ingest"
    assert config.health_url == f"{ENDPOINT}/api/health"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("endpoint", "endpoint (LOGWELL_ENDPOINT) is not set: set the variable, or give the"),
        ("api_key", "api_key (LOGWELL_API_KEY) is not set: set the variable, give the argument"),
    ],
)
@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_endpoint_and_key_must_be_given(missing: str, message: str, nothing: str | None) -> None:
    arguments = {"endpoint": ENDPOINT, "api_key": "lw_" + "k" * 32, missing: nothing}
    with pytest.raises(LogwellError, match="is not set") as caught:
        Config.resolve({}, **arguments)
    assert caught.value.code is LogwellErrorCode.INVALID_CONFIG
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("setting", RANGES)
def test_the_bounds_of_a_number_belong_to_it(setting: str) -> None:
    least, most = RANGES[setting]
    for bound in (least, most):
        for given_as in (bound, str(bound)):
            assert getattr(resolve(**{setting: given_as}), setting) == bound
        assert getattr(resolve({variable(setting): f" {bound} "}), setting) == bound


@pytest.mark.parametrize("setting", RANGES)
@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("ten", "'ten'"),
        ("10s", "'10s'"),
        ("-1", "'-1'"),
        ("nan", "'nan'"),
        ("inf", "'inf'"),
        ("1e999", "'1e999'"),
        (-1, "-1"),
        (0, "0"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
        (10**400, "a number of too many digits"),
        pytest.param(10**5000, "a number of too many digits", id="5,001 digits"),
        (True, "True"),
        (b"10", "a value of type bytes"),
        ([10], "a value of type list"),
        ({}, "a value of type dict"),
        ("7" * 30 + "x", "31 characters, not shown because they may be a secret"),
    ],
)
def test_a_wrong_number_is_refused(setting: str, value: Any, got: str) -> None:
    least, most = RANGES[setting]
    kind = "a number" if setting == "timeout" else "a whole number"
    check_refused(setting, value, f"{kind} from {least:,} to {most:,}", got)


@pytest.mark.parametrize("value", [MIB + 0.5, f"{MIB}.5"])
def test_bytes_are_whole_numbers(value: float | str) -> None:
    assert "expected a whole number from 1,048,576 to" in refused(max_queue_bytes=value)
    assert resolve(max_queue_bytes=f"{MIB}.0").max_queue_bytes == MIB


def test_a_number_of_another_type_is_a_number() -> None:
    assert resolve(timeout=Decimal("2.5")).timeout == 2.5


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        *((text, True) for text in ("true", "True", "1", "yes", "ON", " on ")),
        *((text, False) for text in ("false", "FALSE", "0", "no", "Off")),
    ],
)
def test_flags_have_the_usual_spellings(value: object, meaning: bool) -> None:
    assert resolve(source_location=value).source_location is meaning
    if isinstance(value, str):
        assert resolve({"LOGWELL_SOURCE_LOCATION": value}).source_location is meaning


@pytest.mark.parametrize(
    ("value", "got"),
    [("maybe", "'maybe'"), (2, "2"), (1.0, "1.0"), ([], "a value of type list")],
)
def test_a_wrong_flag_is_refused(value: object, got: str) -> None:
    check_refused("source_location", value, "true or false", got)


@pytest.mark.parametrize(
    ("value", "level"),
    [
        *((level, level) for level in ("debug", "info", "warn", "error", "fatal")),
        ("WARNING", "warn"),
        ("Critical", "fatal"),
        (" Info ", "info"),
    ],
)
def test_levels_have_logwells_and_pythons_names(value: str, level: str) -> None:
    assert resolve(level=value).level == level
    assert resolve({"LOGWELL_LEVEL": value}).level == level


@pytest.mark.parametrize(
    ("value", "got"),
    [("verbose", "'verbose'"), (20, "20"), (True, "True"), (None, None)],
)
def test_a_wrong_level_is_refused(value: object, got: str | None) -> None:
    if got is None:
        assert resolve(level=value).level == "debug"
    else:
        check_refused("level", value, "one of debug, info, warn, error, fatal", got)


def test_the_spool_is_synced_as_sqlite_calls_it() -> None:
    assert [resolve(spool_sync=value).spool_sync for value in (None, "FULL", "normal")] == [
        "normal",
        "full",
        "normal",
    ]
    assert resolve({"LOGWELL_SPOOL_SYNC": "full"}).spool_sync == "full"
    check_refused("spool_sync", "off", "one of normal, full", "'off'")


def test_a_service_has_at_most_1024_bytes() -> None:
    assert resolve(service="é" * 512).service == "é" * 512
    expected = "a text of at most 1,024 bytes without control characters"
    check_refused("service", "é" * 513, expected, "1,026 bytes")


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\ud800b", "a\x85b"])
def test_a_service_without_characters_that_the_server_fails_for(value: str) -> None:
    expected = "a text of at most 1,024 bytes without control characters"
    check_refused("service", value, expected, "one with such characters")


def test_a_service_is_no_api_key() -> None:
    key = "lw_" + "s" * 32
    message = refused({"LOGWELL_SERVICE": key})
    assert message == (
        "service (LOGWELL_SERVICE): expected no API key: this is shown, got what looks like one "
        "from the variable LOGWELL_SERVICE."
    )


@pytest.mark.parametrize("setting", ["endpoint", "api_key", "service"])
@pytest.mark.parametrize(
    "value", [True, [], {}, b"text", object(), pytest.param(10**5000, id="5,001 digits")]
)
def test_texts_are_texts(setting: str, value: object) -> None:
    check_refused(setting, value, "a text", type(value).__name__)


FILES = ("certificate_file", "client_certificate_file", "client_key_file", "api_key_file")


def file_refused(setting: str, value: Any) -> str:
    arguments: dict[str, Any] = {setting: value}
    if setting == "api_key_file":
        arguments["api_key"] = None
    if setting == "client_key_file":
        arguments["client_certificate_file"] = __file__
    return refused(**arguments)


@pytest.mark.parametrize("setting", FILES)
def test_files_are_there_and_can_be_read(setting: str, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", str(tmp_path / "missing.pem")):
        assert file_refused(setting, path) == (
            f"{setting} ({variable(setting)}): expected a file that can be read, got "
            f"'{tmp_path}/missing.pem' (No such file or directory) from the argument."
        )
    assert f"got '{tmp_path}' (Is a directory)" in file_refused(setting, tmp_path)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (7, "expected a path, got int"),
        (True, "expected a path, got bool"),
        (b"/etc/passwd", "expected a path, got bytes"),
        ("/tmp/a\0b", "expected a path, got '/tmp/a\\x00b'"),
        ("x" * 300, "got 300 characters, not shown because they may be a secret"),
        ("~nobody-of-that-name/x", "got '~nobody-of-that-name/x' (No such file or directory)"),
    ],
)
def test_paths_are_paths(value: object, found: str) -> None:
    assert found in refused(certificate_file=value)


def test_a_path_may_begin_with_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ca.pem").touch()
    assert resolve(certificate_file="~/ca.pem").certificate_file == tmp_path / "ca.pem"
    assert resolve({"LOGWELL_SPOOL_DIR": "~/spool"}).spool_dir == tmp_path / "spool"


@pytest.mark.parametrize("home", [None, "", "relative"])
@pytest.mark.parametrize("path", ["~", "~/spool", "~nobody-of-that-name/spool"])
def test_no_directory_is_named_after_a_home_that_is_not_there(
    path: str, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: object) -> NoReturn:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    for message in (refused(spool_dir=path), refused({"LOGWELL_SPOOL_DIR": path})):
        assert message.startswith(
            "spool_dir (LOGWELL_SPOOL_DIR): expected a path from the root, since there is no "
            f"such home directory, got {path!r} (No such file or directory) from the "
        )
    assert resolve(spool_dir="./~").spool_dir == Path("./~")


def test_a_private_key_needs_its_certificate(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    message = refused({"LOGWELL_CLIENT_KEY_FILE": str(key)})
    assert message.startswith("client_key_file (LOGWELL_CLIENT_KEY_FILE): expected client_cert")


@pytest.mark.parametrize("setting", ["on_error", "on_flush"])
def test_callbacks_are_functions(setting: str) -> None:
    assert refused(**{setting: "print"}) == f"{setting}: expected a function, got str."
    assert getattr(resolve(**{setting: print}), setting) is print


WRONG: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=50),
    st.binary(max_size=10),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
SETTINGS = (*RANGES, *FILES, "endpoint", "api_key", "service", "headers", "source_location")


@given(st.sampled_from(SETTINGS), WRONG)
def test_no_value_raises_anything_else(setting: str, value: Any) -> None:
    error = attempt(**{setting: value})
    if error is not None:
        assert error.code is LogwellErrorCode.INVALID_CONFIG
        assert setting in error.message
        assert variable(setting) in error.message
        assert error.__context__ is None
