"""Which names name a secret, and what happens to the value under one."""

from __future__ import annotations

import pytest

from logwell_otel._wire import LogEntry
from logwell_otel.redaction import Redactor
from logwell_otel.redaction.names import _SECRETS, SecretKeys, split_words
from logwell_otel.redaction.prefilter import Prefilter
from support.records import record
from support.redaction import redacted


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dbPassword", ["db", "password"]),
        ("X-API-Key", ["x", "api", "key"]),
        ("HTTPAuthToken", ["http", "auth", "token"]),
        ("http.request.header.set-cookie", ["http", "request", "header", "set", "cookie"]),
        ("password2", ["password", "2"]),
        ("clé_privée", ["cl", "é", "priv", "é", "e"]),
        ("___", []),
        ("", []),
    ],
)
def test_a_name_is_split_at_separators_and_case(name: str, words: list[str]) -> None:
    assert split_words(name) == words


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("password", "password"),
        ("PASSWD", "password"),
        ("pASSWORD", "password"),
        ("paSSword", "password"),
        ("accessTokens", "token"),
        ("refresh_tokens", "token"),
        ("signing-keys", "private_key"),
        ("secret_keys", "secret"),
        ("passphrases", "password"),
        ("ConnectionStrings", "dsn"),
        ("client_assertion", "token"),
        ("2fa_code", "otp"),
        ("twoFactorCode", "otp"),
        ("sms_code", "otp"),
        ("unseal_keys", "api_key"),
        ("recoveryKey", "api_key"),
        ("social_security_number", "ssn"),
        ("pwd", "password"),
        ("userPassword", "password"),
        ("password_confirmation", "password"),
        ("new-password", "password"),
        ("password2", "password"),
        ("password_hash", "password"),
        ("PGPASSWORD", "password"),
        ("db.pass", "password"),
        ("secret", "secret"),
        ("clientSecret", "secret"),
        ("AWSSecretAccessKey", "secret"),
        ("SECRET_KEY", "secret"),
        ("token", "token"),
        ("accessToken", "token"),
        ("reset_token", "token"),
        ("csrfmiddlewaretoken", "token"),
        ("X-CSRF-Token", "token"),
        ("jwt", "token"),
        ("api_key", "api_key"),
        ("apikey", "api_key"),
        ("X-Api-Key", "api_key"),
        ("stripeApiKey", "api_key"),
        ("authorization", "authorization"),
        ("http.request.header.authorization", "authorization"),
        ("Proxy-Authorization", "authorization"),
        ("cookie", "cookie"),
        ("Set-Cookie", "cookie"),
        ("cookies", "cookie"),
        ("session", "session"),
        ("session_id", "session"),
        ("session.id", "session"),
        ("PHPSESSID", "session"),
        ("connect.sid", "session"),
        ("private_key", "private_key"),
        ("privateKey", "private_key"),
        ("credentials", "credentials"),
        ("accountKey", "access_key"),
        ("card_number", "card"),
        ("otp_code", "otp"),
    ],
)
def test_names_a_secret(name: str, kind: str) -> None:
    assert SecretKeys().kind(name) == kind


@pytest.mark.parametrize(
    "name",
    [
        "token_count", "max_tokens", "tokens", "prompt_tokens", "token_type", "next_page_token",
        "pad_token", "session_length", "session_count", "sessions", "cookie_consent", "key",
        "cookie_domain", "password_length", "password_changed_at", "has_password", "is_secret",
        "primary_key", "public_key", "cache_key", "api_key_id", "secret_name", "auth_method",
        "author", "authenticated", "authority", "passenger", "compass", "bypass", "secretary",
        "keyboard", "monkey", "basket", "assess", "process_id", "message", "user_id", "",
    ],
)  # fmt: skip
def test_names_no_secret(name: str) -> None:
    assert SecretKeys().kind(name) is None


def test_every_name_that_is_a_secret_is_seen_by_the_prefilter() -> None:
    """In a text, a name counts only if the prefilter looks for it, however it is written."""
    for name in _SECRETS:
        camel = name[0] + "".join(map(str.capitalize, name[1:]))
        for written in ("_".join(name), "-".join(name), camel, "DB_" + "_".join(name).upper()):
            for text in (f"{written}=x", f'"{written}": "x"', f"('{written}', 'x')"):
                assert Prefilter().places_of_names(text), text
                assert not Prefilter().holds_nothing([text]), text


def test_more_names_are_compared_word_by_word_wherever_they_stand() -> None:
    redactor = Redactor(extra_keys=["patient_id", "NHS Number"])
    entry = LogEntry(
        level="info",
        message="patientId=4711 nhs_number: 943 patient=ward",
        metadata={"patientId": 4711, "x-patient-id": "4711", "nhsNumber": "943", "patients": 2},
    )
    redactor.redact_entry(entry)
    assert entry.message == ("patientId=[redacted:patient_id] nhs_number: 943 patient=ward")
    assert entry.metadata == {
        "patientId": "[redacted:patient_id]",
        "x-patient-id": "[redacted:patient_id]",
        "nhsNumber": "[redacted:nhs_number]",
        "patients": 2,
    }


def test_a_number_under_a_plural_is_a_count_but_for_names_that_were_added() -> None:
    text = "api_keys=3 secrets: 12 patients=17"
    (entry,) = redacted(
        record(text, attributes={"api_keys": 3, "secrets": 12, "patients": 17, "passwords": 83051}),
        redact=Redactor(extra_keys=["patients"]),
    )
    assert entry["message"] == "api_keys=3 secrets: 12 patients=[redacted:patients]"
    assert entry["metadata"]["api_keys"] == 3
    assert entry["metadata"]["secrets"] == 12
    assert entry["metadata"]["patients"] == "[redacted:patients]"
    assert entry["metadata"]["passwords"] == "[redacted:password]"


def test_an_extra_name_without_any_word_is_ignored() -> None:
    entry = LogEntry(level="info", message="m", metadata={"": "x", "-": "y"})
    assert Redactor(extra_keys=["-"]).redact_entry(entry).metadata == {"": "x", "-": "y"}


def test_names_made_up_at_run_time_are_remembered_within_bounds() -> None:
    keys = SecretKeys()
    for number in range(10_000):
        assert keys.kind(f"name_{number}") is None
        assert keys.kind(f"password_{number}") == "password"
    assert len(keys._cache) <= 4096  # noqa: SLF001 - the bound is what is tested
    assert keys.kind("x" * 10_000 + "_password") == "password"


@pytest.mark.parametrize("value", [None, True, False, "", b""])
def test_what_says_only_whether_there_is_a_secret_stays(value: object) -> None:
    entry = LogEntry(level="info", message="m", metadata={"password": value})
    assert Redactor().redact_entry(entry).metadata == {"password": value}


@pytest.mark.parametrize("value", ["hunter2", 4711, 1.5, b"x", ["a", "b"], {"old": "a"}, ("a",)])
def test_everything_else_under_a_secret_name_goes_as_a_whole(value: object) -> None:
    entry = LogEntry(level="info", message="m", metadata={"login": {"password": value}})
    redacted = Redactor().redact_entry(entry)
    assert redacted.metadata == {"login": {"password": "[redacted:password]"}}


def test_names_of_metadata_made_up_at_run_time_are_remembered_within_bounds() -> None:
    redactor = Redactor()
    for number in range(5000):
        entry = LogEntry(level="info", message="m", metadata={f"n{number}": 1, "x" * 200: 2})
        redactor.redact_entry(entry)
    assert len(redactor._plain_names) <= 4096  # noqa: SLF001 - the bound is what is tested
    assert max(map(len, redactor._plain_names)) <= 128  # noqa: SLF001
