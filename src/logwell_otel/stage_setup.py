"""The optional stages that the settings ask for, and the policy that their sampler follows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from logwell_otel.service_name import service_from_environment
from logwell_otel.wire import LogEntry

if TYPE_CHECKING:
    from logwell_otel.config import Config
    from logwell_otel.sampling import Sampler
    from logwell_otel.stages import Redacts, Stages


def stages_of(config: Config) -> Stages | None:
    """The stages for `config`, None for none of them.

    Raises:
        LogwellError: `INVALID_CONFIG` when sampling rates are none.
    """
    if not (config.sampler or config.sampling or config.redact or config.before_send):
        return None
    # Imported only where they are used: they are most of what there is to import.
    from logwell_otel.redaction import Redactor  # noqa: PLC0415
    from logwell_otel.stages import Stages  # noqa: PLC0415

    redactor = config.redact or None
    if redactor is True:
        redactor = Redactor(extra_keys=config.redact_keys, allow=config.redact_allow)
    own = _sampler_of(config, redactor) if config.sampling and config.sampler is None else None
    return Stages(config.sampler or own, redactor, config.before_send, owned=own)


def _sampler_of(config: Config, redactor: Redacts | None) -> Sampler:
    from logwell_otel.sampling import PolicyFile, Sampler  # noqa: PLC0415 - as above

    sampler = Sampler(config.sample_rates)
    policy = config.sampling_policy
    if isinstance(policy, Path):
        sampler.follow(PolicyFile(policy))
    elif policy is not None:
        _follow_server(sampler, policy, config, redactor)
    return sampler


def _follow_server(sampler: Sampler, url: str, config: Config, redactor: Redacts | None) -> None:
    from logwell_otel.redaction import Redactor  # noqa: PLC0415 - as above
    from logwell_otel.sampling import PolicyServer  # noqa: PLC0415

    # What a report quotes of messages goes to another server: redacted also where entries
    # are not.
    server = PolicyServer(
        url,
        service=config.service or service_from_environment(),
        team_id=config.sampling_team_id,  # type: ignore[arg-type] # checked with the URL
        bearer=config.sampling_token,
        redactor=_Texts(redactor or Redactor()),
    )
    sampler.follow(server)


class _Texts:
    """Redacts a text by what redacts entries: `redact=` may be anything that does."""

    def __init__(self, redactor: Redacts) -> None:
        self._redactor = redactor

    def redact_text(self, text: str) -> str:
        return str(self._redactor.redact_entry(LogEntry(level="info", message=text)).message)
