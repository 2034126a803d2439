"""The settings: where each came from, secrets masked, misspelt variables found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.cli.check.run import Check, CheckDependencies
from logwell_otel.cli.check.settings import _emptied_at_restart, names
from support.check import KEY, only, results

if TYPE_CHECKING:
    from support.check import Stub

URL = "https://logs.example.com"


def settings(environ: dict[str, str], **arguments: Any) -> dict[str, tuple[str | None, str]]:
    check = Check(arguments, dependencies=CheckDependencies(environ=environ))
    return {one.name: (one.value, one.origin) for one in check.settings}


@pytest.mark.parametrize(
    ("environ", "by"),
    [
        ({"LOGWELL_DISABLED": "1", "OTEL_SDK_DISABLED": "false"}, "LOGWELL_DISABLED"),
        ({"OTEL_SDK_DISABLED": " TRUE "}, "OTEL_SDK_DISABLED"),
    ],
)
def test_what_is_switched_off_is_looked_at_all_the_same(
    environ: dict[str, str], by: str, stub: Stub
) -> None:
    found = results(stub.url, environ=environ)
    assert only(found, "Disabled") == (
        f"fail Disabled: by {by}: nothing is sent, whatever follows -> Unset {by}."
    )
    assert only(found, "Key") == "pass Key: the server knows it"


def test_every_setting_with_its_origin() -> None:
    found = settings(
        {
            "LOGWELL_ENDPOINT": f"{URL}/v1/ingest/",
            "LOGWELL_API_KEY": KEY,
            "LOGWELL_TIMEOUT": "2.5",
            "LOGWELL_HEADERS": "X-Tenant=hush,X-Way=hush2",
            "LOGWELL_SPOOL_DIR": "",
            "LOGWELL_SAMPLE_RATES": "info=.5,debug=0",
        },
        service="shop",
        source_location=False,
        requests_per_hour=1_000_000,
    )
    assert found == {
        "endpoint": (URL, "LOGWELL_ENDPOINT"),
        "api_key": ("lw_***last", "LOGWELL_API_KEY"),
        "api_key_file": (None, "default"),
        "service": ("shop", "argument"),
        "headers": ("X-Tenant=***, X-Way=***", "LOGWELL_HEADERS"),
        "timeout": ("2.5", "LOGWELL_TIMEOUT"),
        "certificate_file": (None, "default"),
        "client_certificate_file": (None, "default"),
        "client_key_file": (None, "default"),
        "level": ("debug", "default"),
        "levels": (None, "default"),
        "root_level": (None, "default"),
        "source_location": ("false", "argument"),
        "request_id_from_trace": ("false", "default"),
        "message_template": ("false", "default"),
        "max_queue_bytes": ("33554432", "default"),
        "requests_per_minute": ("600", "default"),
        "requests_per_hour": ("1000000", "argument"),
        "spool_dir": (None, "default"),
        "spool_max_bytes": ("268435456", "default"),
        "spool_max_age": ("172800", "default"),
        "spool_sync": ("normal", "default"),
        "sampling": ("false", "default"),
        "sample_rates": ("info=0.5, debug=0.0", "LOGWELL_SAMPLE_RATES"),
        "sampling_policy": (None, "default"),
        "sampling_token": (None, "default"),
        "sampling_token_file": (None, "default"),
        "sampling_allow_zero": ("false", "default"),
        "deliver_on_sigterm": ("true", "default"),
        "disabled": ("false", "default"),
        "send_in_tests": ("false", "default"),
        "on_queue_full": ("drop", "default"),
        "redact": ("false", "default"),
        "redact_keys": (None, "default"),
        "redact_allow": (None, "default"),
        "redact_also": (None, "default"),
    }


def test_a_policy_server_with_its_token_masked(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("hush-hush")
    environ = {
        "LOGWELL_ENDPOINT": URL,
        "LOGWELL_API_KEY": KEY,
        "LOGWELL_SAMPLING_POLICY": "HTTPS://Policies.example/?team_id=7",
    }
    for secret, origin in (
        ({"LOGWELL_SAMPLING_TOKEN": "hush-hush"}, "LOGWELL_SAMPLING_TOKEN"),
        ({"LOGWELL_SAMPLING_TOKEN_FILE": str(path)}, "LOGWELL_SAMPLING_TOKEN_FILE"),
    ):
        found = settings({**environ, **secret})
        assert found["sampling"] == ("true", "default")
        policy = "https://policies.example?team_id=7"
        assert found["sampling_policy"] == (policy, "LOGWELL_SAMPLING_POLICY")
        assert found["sampling_token"] == ("***", origin)
        assert "hush" not in str(found)
    assert found["sampling_token_file"] == (str(path), "LOGWELL_SAMPLING_TOKEN_FILE")


@pytest.mark.parametrize(
    ("key", "file", "origin"),
    [
        ("variable", None, "LOGWELL_API_KEY"),
        (None, "variable", "LOGWELL_API_KEY_FILE"),
        ("variable", "variable", "LOGWELL_API_KEY"),
        ("variable", "argument", "argument"),
        ("argument", "variable", "argument"),
    ],
)
def test_which_key_it_is(tmp_path: Path, key: str | None, file: str | None, origin: str) -> None:
    path = tmp_path / "key"
    path.write_text("lw_" + "f" * 28 + "file")
    environ, arguments = {"LOGWELL_ENDPOINT": URL}, {}
    for how, name, value in ((key, "api_key", KEY), (file, "api_key_file", str(path))):
        if how == "variable":
            environ[f"LOGWELL_{name.upper()}"] = value
        elif how == "argument":
            arguments[name] = value
    found = settings(environ, **arguments)
    from_file = file is not None and (key is None or file == "argument")
    assert found["api_key"] == ("lw_***file" if from_file else "lw_***last", origin)
    assert found["api_key_file"][0] == (str(path) if file else None)
    # Whatever the rule is, it is that of the settings themselves.
    check = Check(arguments, dependencies=CheckDependencies(environ=environ))
    assert check.settings[1].value == found["api_key"][0]


def variables_line(**environ: str) -> str:
    return only(results("http://[", environ={"LOGWELL_API_KEY": KEY, **environ}), "Variables")


def test_variables_that_nobody_reads() -> None:
    found = variables_line(LOGWELL_ENDPIONT="hush", logwell_api_key="hush", OTHER="hush")
    assert found == (
        "warning Variables: LOGWELL_ENDPIONT, logwell_api_key: no setting has this name -> "
        "LOGWELL_ENDPIONT: did you mean LOGWELL_ENDPOINT? "
        "logwell_api_key: did you mean LOGWELL_API_KEY?"
    )


@pytest.mark.parametrize(
    ("tried", "wanted"),
    [
        ("URL", "ENDPOINT"),
        ("HOST", "ENDPOINT"),
        ("KEY", "API_KEY"),
        ("TOKEN", "API_KEY"),
        ("DSN", "ENDPOINT and LOGWELL_API_KEY"),
        ("DIR", "SPOOL_DIR"),
        ("SPOOL_DIRECTORY", "SPOOL_DIR"),
        ("APIKEY", "API_KEY"),
        ("SERVICE_NAME", "SERVICE"),
        ("LOG_LEVEL", "LEVEL"),
        ("TIMEOUTS", "TIMEOUT"),
        ("url", "ENDPOINT"),
    ],
)
def test_names_that_people_try(tried: str, wanted: str) -> None:
    found = variables_line(**{f"LOGWELL_{tried}": "hush"})
    assert found.endswith(f"-> LOGWELL_{tried}: did you mean LOGWELL_{wanted}?")


def test_variables_of_others_and_of_other_commands_are_not_mentioned() -> None:
    others = ("RETENTION", "PORT", "DB", "DATABASE", "TEST_ENDPOINT", "SERVE_API_KEY_FILE", "")
    commands = ("USERNAME", "PASSWORD", "PASSWORD_FILE", "PROJECT", "SESSION_FILE")
    environ = {f"LOGWELL_{name}": "hush" for name in (*others, *commands)}
    found = results("http://[", environ={"LOGWELL_API_KEY": KEY, **environ})
    assert "Variables" not in {one.step for one in found}


def test_all_settings_have_a_variable_and_no_secret_is_a_setting() -> None:
    found = names()
    assert found[:3] == ["endpoint", "api_key", "api_key_file"]
    assert not {"secrets", "origins", "on_error", "on_flush", "proxy"} & set(found)


@pytest.mark.parametrize(
    ("directory", "volatile"),
    [
        ("/tmp/spool", True),
        ("/dev/shm/x", True),
        ("/run/app/spool", True),
        ("/var/lib/app/spool", False),
        ("/tmpfiles/spool", False),
    ],
)
def test_a_directory_that_a_restart_empties_is_known(directory: str, volatile: bool) -> None:
    assert _emptied_at_restart(Path(directory)) is volatile
