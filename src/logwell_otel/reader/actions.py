"""What is done when a rule fires: webhooks, commands, lines; again where they fail."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from logwell_otel._config.address import proxy_of, proxy_secrets
from logwell_otel._diagnostics import Secrets
from logwell_otel._http import Answer, HttpClient, NoAnswer
from logwell_otel.reader.rules import Command, Firing, Rule, Webhook
from logwell_otel.reader.watch_state import LONGEST_BACKOFF, Order, WatchState

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from logwell_otel.reader.rules import Action

MOST_TRIES: Final = 12
"""An action is tried so often, within about half an hour, and then given up."""

_WEBHOOK_SECONDS: Final = 10.0
_COMMAND_SECONDS: Final = 60.0


class Actions:
    """Does actions, again where they failed, and says so."""

    def __init__(
        self,
        rules: Iterable[Rule],
        store: WatchState,
        say: Callable[[str], object],
        log: Callable[[str], object],
        rng: random.Random,
    ) -> None:
        self._actions = {rule.name: rule.actions for rule in rules}
        self._store = store
        self._say = say
        self._log = log
        self._rng = rng

    def orders(self, firings: Iterable[Firing]) -> list[tuple[str, int, bytes, float]]:
        """The actions of firings, as they are kept."""
        return [
            (firing.rule, index, msgspec.json.encode(firing), 0.0)
            for firing in firings
            for index in range(len(self._actions[firing.rule]))
        ]

    def do_next(self, now: float) -> float | None:
        """Do what is due; None if there was something, else the seconds until there is."""
        order = self._store.due(now)
        if not isinstance(order, Order):
            return order
        actions = self._actions.get(order.rule, ())
        firing = None
        with suppress(msgspec.MsgspecError):
            firing = msgspec.json.decode(order.firing, type=Firing)
        if firing is None or order.action >= len(actions):
            self._store.done(order.number)
            self._say(
                f"An action of the rule {order.rule!r} is dropped: it was kept by another "
                "version, or the rule has none such any more."
            )
            return None
        action = actions[order.action]
        problem, wait = self._do(action, firing)
        tries = order.tries + 1
        what = f"The {action} of the rule {order.rule!r}"
        if problem is None:
            self._store.done(order.number)
            if order.tries:
                self._say(f"{what} worked at try {tries}.")
        elif tries >= MOST_TRIES:
            self._store.done(order.number)
            self._say(f"{what} failed {tries} times and is given up: {problem}. {firing.text}")
        else:
            longest = min(LONGEST_BACKOFF, 2.0**tries)
            wait = max(self._rng.uniform(longest / 2, longest), min(wait, LONGEST_BACKOFF))
            self._store.later(order.number, now + wait)
            if tries == 1:
                self._say(f"{what} failed: {problem}. It is tried again for about half an hour.")
        return None

    def _do(self, action: Action, firing: Firing) -> tuple[str | None, float]:
        """What went wrong, None if nothing did; and the seconds that somebody asked to wait."""
        if isinstance(action, Webhook):
            return _post(action, firing)
        if isinstance(action, Command):
            return _start(action, firing), 0.0
        self._log(f"{firing.time} {firing.text}")
        return None, 0.0


def _post(webhook: Webhook, firing: Firing) -> tuple[str | None, float]:
    url = webhook.url.reveal()
    body: dict[str, Any] = {"text": firing.slack_text} if webhook.slack else firing.payload()
    proxy = proxy_of(url)
    client = HttpClient(
        proxy=None if proxy is None else proxy.reveal,
        mask=Secrets((*proxy_secrets(), *webhook.url.secrets(), *webhook.headers.secrets())).mask,
        keep_alive=False,  # minutes lie between two
    )
    headers = {"Content-Type": "application/json", **webhook.headers}
    content = msgspec.json.encode(body)
    answer: Answer | NoAnswer = client.request("POST", url, headers, content, _WEBHOOK_SECONDS)
    if isinstance(answer, NoAnswer):
        return f"no answer ({answer.reason})", 0.0
    if 200 <= answer.status < 300:
        return None, 0.0
    after = answer.headers.get("retry-after", "")
    return f"it answered HTTP {answer.status}", float(after) if after.isdecimal() else 0.0


def _start(command: Command, firing: Firing) -> str | None:
    try:
        status = subprocess.run(  # noqa: S603 - the user's own command, and no shell
            command.arguments,
            input=msgspec.json.encode(firing.payload()),
            stdout=subprocess.DEVNULL,  # what it has to say goes to our standard error
            timeout=_COMMAND_SECONDS,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return f"it took over {_COMMAND_SECONDS:.0f} s"
    except OSError as error:
        return f"it cannot be started: {error.strerror or type(error).__name__}"
    return None if status == 0 else f"exit status {status}"
