"""All scenarios: at full size for `scripts/chaos`, at a size for a test in `short`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from chaos import (
    bursts,
    entries,
    exits,
    flushes,
    kills,
    limits,
    outages,
    shutdowns,
    spools,
    threads,
    workers,
)
from support.spool import FULL, READ_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.result import Result


class Scenario(NamedTuple):
    """One row of the table.

    Attributes:
        name: Unique.
        full: At full size.
        short: Within a few seconds, None where that shows nothing.
    """

    name: str
    full: Callable[[], Result]
    short: Callable[[], Result] | None


def _bursts() -> list[Scenario]:
    found = [
        Scenario(
            f"burst: batches of {size}, answers after {delay} ms",
            partial(bursts.two_bursts, size, delay),
            # tests/delivery/test_burst.py has the others.
            partial(bursts.two_bursts, size, delay, records=2_000, more=500, pause=0.1)
            if (size, delay) == (512, 0)
            else None,
        )
        for delay in (0, 45, 200)
        for size in (100, 500, 512)
    ]
    found += [
        Scenario(
            "burst: begins during an export",
            bursts.during_an_export,
            partial(bursts.during_an_export, records=4_000),
        ),
        Scenario(
            "burst: another thread flushes",
            bursts.while_another_thread_flushes,
            partial(bursts.while_another_thread_flushes, records=4_000, more=500),
        ),
    ]
    for trouble in ("refusing", "hanging"):
        found += [
            Scenario(
                f"burst: server {trouble}{', with a spool' if spool else ''}",
                partial(bursts.in_an_outage, trouble, spool=spool),
                partial(bursts.in_an_outage, trouble, spool=spool, records=8_000)
                if spool
                else None,
            )
            for spool in (False, True)
        ]
    return found


def _outages() -> list[Scenario]:
    cases = {
        "refusing, in memory": partial(outages.ten_minutes, "refusing"),
        "hanging, in memory": partial(outages.ten_minutes, "hanging"),
        "inserts fail, health 200": partial(outages.ten_minutes, "inserts fail"),
        "refusing, spool beyond memory": partial(outages.ten_minutes, "refusing", spool=True),
        "hanging, spool beyond memory": partial(outages.ten_minutes, "hanging", spool=True),
        "inserts fail, spool beyond memory": partial(
            outages.ten_minutes, "inserts fail", spool=True
        ),
        "refusing, 6 killed connections": partial(
            outages.ten_minutes, "refusing", killed_connections=6
        ),
        "refusing, spool, 6 killed connections": partial(
            outages.ten_minutes, "refusing", spool=True, killed_connections=6
        ),
    }
    return [
        Scenario(f"outage of 10 min: {name}", run, partial(run, seconds=30))
        for name, run in cases.items()
    ] + [
        Scenario(
            "receiver killed under load, 10 times",
            partial(outages.receiver_killed, 10),
            partial(outages.receiver_killed, 2),
        )
    ]


def _kills() -> list[Scenario]:
    return [
        Scenario(
            "kill -9 in an outage: server refusing",
            partial(kills.at_random, "refusing", 50),
            partial(kills.at_random, "refusing", 3, at_once=3, longest=2.5),
        ),
        Scenario(
            "kill -9 in an outage: server hanging",
            partial(kills.at_random, "hanging", 50, seed=2),
            partial(kills.at_random, "hanging", 3, at_once=3, longest=2.5, seed=2),
        ),
        Scenario(
            "kill -9 while answers take 300 ms",
            partial(kills.at_random, "slow", 25, seed=3),
            None,
        ),
    ]


def _spools() -> list[Scenario]:
    return [
        _same("spool: subject restarted", partial(spools.subject_restarted, kill=False)),
        _same("spool: subject killed, restarted", partial(spools.subject_restarted, kill=True)),
        Scenario("spool: shared by two, one killed", spools.shared_by_two, None),
        _same("spool: disk fills up", partial(spools.disk_fails, FULL)),
        _same("spool: disk turns read-only", partial(spools.disk_fails, READ_ONLY)),
    ]


def _entries() -> list[Scenario]:
    refusals: tuple[entries.Refusal, ...] = ("403", "502", "413", "connection cut")
    return [
        _same("8 awkward records of 1,000", entries.awkward_ones),
        _same("poison: one of 1,000", partial(entries.poison, [517])),
        _same("poison: two in one chunk", partial(entries.poison, [510, 580])),
        _same("poison: one alone", entries.poison_alone),
        *(
            _same(f"firewall refuses one line: {refusal}", partial(entries.firewall, refusal))
            for refusal in refusals
        ),
        *(
            _same(
                f"firewall refuses 1,000 lines in a row: {refusal}",
                partial(entries.firewall_in_a_row, refusal),
            )
            for refusal in refusals
        ),
        _same("a table fails: 500 for errors, 1 min", entries.table_fails),
        *(
            _same(
                f"gateway out of order for 20 s: {status}",
                partial(entries.gateway_out_of_order, status),
            )
            for status in (413, 403, 415)
        ),
    ]


def _workers() -> list[Scenario]:
    return [
        Scenario(
            "gunicorn --preload, 4 workers",
            partial(workers.gunicorn, 1_000),
            partial(workers.gunicorn, 40),
        ),
        Scenario(
            "the same errors from 4 processes",
            partial(workers.same_errors, 5_000),
            partial(workers.same_errors, 300),
        ),
    ]


def _threads() -> list[Scenario]:
    found = [
        Scenario(
            "export, flush, shutdown at once, 1 µs",
            partial(threads.all_at_once, 100),
            partial(threads.all_at_once, 5),
        )
    ]
    return found + [
        _same(f"callback that {does}", partial(threads.callback, does))
        for does in ("logs", "flushes", "raises", "shuts down")
    ]


def _exits() -> list[Scenario]:
    found = [_same(f"program that {name}", partial(exits.ends, name)) for name in exits.ENDINGS]
    others: tuple[exits.StartMethod, ...] = ("spawn", "forkserver")
    for method in others:
        found += [
            Scenario(f"program that {name} ({method})", partial(exits.ends, name, method), None)
            for name in exits.ENDINGS
            if name.startswith("has_")
        ]
    for method in ("fork", *others):
        found += [
            Scenario(
                f"program that {name} (configure(), {method})",
                partial(exits.ends, name, method, configured=True),
                partial(exits.ends, name, method, configured=True) if method == "fork" else None,
            )
            for name in ("has_a_child", "has_a_pool_that_is_joined")
        ]
    return [scenario._replace(name=scenario.name.replace("_", " ")) for scenario in found]


def _shutdowns() -> list[Scenario]:
    bounds: dict[shutdowns.Server, float] = {
        "refusing": 1.5,
        "hanging": 5.0,
        "rate limited": 1.5,
        "refusing the key": 1.5,
    }
    return [
        Scenario(
            f"shutdown: server {server}",
            partial(shutdowns.bounded, server, most),
            # tests/delivery/test_shutdown.py has the others.
            partial(shutdowns.bounded, server, most) if server == "rate limited" else None,
        )
        for server, most in bounds.items()
    ]


def _same(name: str, run: Callable[[], Result]) -> Scenario:
    return Scenario(name, run, run)


SCENARIOS: list[Scenario] = [
    *_bursts(),
    Scenario(
        "force_flush of 1 to 1,024",
        partial(flushes.exact, repeated=5),
        partial(flushes.exact, delay_ms=0),
    ),
    *_outages(),
    *_kills(),
    *_spools(),
    *_entries(),
    _same("10,000 records, server at 60 a minute", limits.a_tenth_of_what_is_believed),
    *_workers(),
    *_threads(),
    *_shutdowns(),
    *_exits(),
]
