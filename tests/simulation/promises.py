"""What the exporter promises, held against what happened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from simulation.network import Record, Trouble, ranges

if TYPE_CHECKING:
    from logwell_otel.health import Health
    from simulation.world import App, World

WAIT_SECONDS: Final = 600.0
"""An entry that nothing stops any more is stored within ten minutes, whatever cannot be sent
before it. A minute does where one entry in a hundred is disliked; it takes as long where every
fifth is, and nothing is accepted for a while. Twice as long, where then nothing else is logged."""

SEARCH_REQUESTS: Final = 12
"""What finding an entry costs: a time-out each, if something swallows it without an answer."""

FEW_REQUESTS: Final = 600.0
"""A minute. With fewer it is the rate limit that finding entries takes its time for."""

EXPORT_SECONDS: Final = 0.05
FULL_SECONDS: Final = 5.3
"""What `export` may take: a full memory waits 5 s for its oldest chunk to be on disk."""

UNACKNOWLEDGED_SECONDS: Final = 1.1
"""With a spool, what was handed over so long before a kill is not lost by it."""

_MANY: Final = 0.2
_SETTLING: Final = 180.0
_DISK_RETRY: Final = 10.5
"""Seconds after which a disk that said no is asked again."""


class Promises:
    """Looks at a world, and finds what should not be."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.lost: set[int] = set()
        self._unsure: set[int] = set()
        self._open: list[Record] = []
        self._for_ever = [one for one in world.plan.troubles if one.end == math.inf]
        self._held_at_calm = 0
        self._requests_at_calm = 0

    # Of single calls.

    def export_seconds(self, app: App) -> float:
        """What a call of `export` may take now."""
        # With a spool, what others left in it may be in its memory, too.
        held = self._world.records.values() if self._world.plan.spooled else app.handed
        full = sum(record.size + 200 for record in held) > app.world.plan.max_queue_bytes / 2
        return FULL_SECONDS if full or app.process.no_threads else EXPORT_SECONDS

    def shutdown_seconds(self, app: App, seconds: float) -> float:
        """What a call of `shutdown` may take."""
        return seconds + (5.0 if app.process.no_threads else 0.6)

    def flushed(
        self, app: App, before: list[Record], began: float, seconds: float, *, stored: bool
    ) -> None:
        """A flush said that all is stored, or not."""
        now = self._world.machine.now
        # What a signal handler logged before it looked is a part of it, too.
        handled = any(one.name == "signal" for one in self._world.plan.happenings)
        missing = [
            record
            for record in (app.returned if handled and not stored else before)
            if not record.settled
            and record.number not in self._unsure
            and app.reported.get(record.number, math.inf) > began
        ]
        if stored and missing:
            self._world.find(f"{app.name}: a flush says True, but {ranges(missing)} are not stored")
        early = now - began < seconds
        if not stored:
            for record in missing:
                # At the last moment nobody sees which of both it was: late, or a loss.
                if early or app.set_aside.get(record.number, -1.0) >= began:
                    app.reported.setdefault(record.number, now)
        if not stored and early:
            # What was set aside is reported once, even where it was stored after all.
            partial = any(trouble.partial for trouble in self._world.plan.troubles)
            aside = [number for number in app.set_aside if number not in app.reported]
            app.reported.update(dict.fromkeys(aside, now))
            # Another thread's call may have begun and not ended.
            lost = any(not record.settled and record.at <= began for record in app.handed)
            ending = app.told_to_end or app.shutdown_at < now
            if not (lost or missing or partial or aside or ending or app.process.no_threads):
                self._world.find(
                    f"{app.name}: a flush says False after {now - began:.1f} s, but all is stored"
                )

    def account(self, app: App, health: Health) -> None:
        """The sums add up at every moment."""
        came = health.handed_over + health.recovered
        went = health.accepted + health.refused + health.dropped_total + health.held
        if came != went:
            self._world.find(
                f"{app.name}: handed over {health.handed_over} + recovered {health.recovered} is "
                f"not accepted {health.accepted} + refused {health.refused} + dropped "
                f"{health.dropped_total} + held {health.held}"
            )
        # One request may be on its way back.
        if health.accepted > self._world.network.accepted[app.name]:
            self._world.find(
                f"{app.name}: {health.accepted} entries are said to be accepted, and the server "
                f"took {self._world.network.accepted[app.name]}"
            )
        if health.refused > self._world.network.rejected[app.name]:
            self._world.find(
                f"{app.name}: {health.refused} entries are said to be refused, and the server "
                f"refused {self._world.network.rejected[app.name]}: something before it did"
            )
        self._justify(app, health)

    def _justify(self, app: App, health: Health) -> None:
        """What was dropped was dropped for a reason that this world gives."""
        world = self._world
        if app.process.main is None:
            return
        for reason, count in health.dropped.items():
            allowed = self._justified(app, reason)
            if count > allowed:
                world.find(
                    f"{app.name}: {count} dropped for {reason!r}, of which this world justifies "
                    f"{allowed}"
                )

    @property
    def patience(self) -> float:
        """How long a world that is over is looked at."""
        return self._wait_seconds + 60.0

    @property
    def _wait_seconds(self) -> float:
        world, plan = self._world, self._world.plan
        requests: float = SEARCH_REQUESTS * sum(map(self.hopeless, world.records.values()))
        wait = WAIT_SECONDS
        if any(plan.words.get(one.word or "", 0.0) >= _MANY for one in self._for_ever):
            wait *= 2
        if any(one.kind == "silent" for one in self._for_ever):
            wait += requests * plan.timeout
        if plan.per_minute < FEW_REQUESTS:
            # A process that met the limit early has a small share of it for many minutes: half
            # of an even one, or less.
            # So few are many minutes, too, where each may hold but a few entries.
            size = sum(record.size + 200 for record in world.records.values())
            requests += sum(2 * size / one.over for one in self._for_ever if one.over)
            wait += requests * (60.0 / plan.per_minute) * 2 * len(world.apps)
        return wait

    def _justified(self, app: App, reason: str) -> float:
        """How many records may have been dropped for a reason: the table of them."""
        world = self._world
        happens = {one.name for one in world.plan.happenings}
        if reason == "poison":
            return sum(
                self.hopeless(record) and not record.settled for record in world.records.values()
            )
        if reason == "shutdown":
            return self._justified_at_shutdown(app)
        # What is suspected may fill half of the memory, whoever left it in the spool.
        suspected = sum(
            record.size + 200
            for record in world.records.values()
            if any(one.partial and one.stops(record) for one in world.plan.troubles)
        )
        given = {
            "queue_overflow": self.export_seconds(app) == FULL_SECONDS
            or suspected > world.plan.max_queue_bytes / 2,
            # Logged by a signal handler in the middle of what it would have to wait for.
            "recursive": "signal" in happens,
            # Before it was an entry, by a handler that exits.
            "interrupted": "sigterm" in happens,
            "spool_expired": "clock" in happens or world.machine.now >= world.plan.max_age,
        }
        return math.inf if given.get(reason) else 0

    def _justified_at_shutdown(self, app: App) -> float:
        world, now = self._world, self._world.machine.now
        if app.shutdown_at == math.inf:
            return 0
        settled_since = max(world.plan.ends_at, world.network.limited_at) + _SETTLING
        # Something that never passes may be being looked for just then.
        if self._for_ever or now <= settled_since:
            return math.inf
        return sum(
            # Logged by a signal handler while it ends, or something is in its way.
            record.at >= app.shutdown_at
            or (not record.settled and any(one.stops(record) for one in world.plan.troubles))
            for record in app.handed
        )

    # Of records.

    def handed(self, record: Record) -> None:
        """A record is about to be handed over."""
        self._open.append(record)

    def hopeless(self, record: Record) -> bool:
        """True if something that never passes keeps the record from being stored."""
        return any(one.stops(record) for one in self._for_ever)

    def waits_for(self, record: Record) -> bool:
        """True if the record is neither done with nor stopped for ever."""
        if record.settled or record.number in self.lost or record.number in self._unsure:
            return False
        app = self._app(record)
        if app.alive and app.health is not None and app.health.held == 0:
            return False
        return not self.hopeless(record)

    def waiting(self) -> list[Record]:
        """All of them."""
        return [record for record in self._open if self.waits_for(record)]

    def _app(self, record: Record) -> App:
        return self._world.apps[int(record.app[1:].partition(".")[0]) - 1]

    def _free_since(self, record: Record) -> float:
        """Since when nothing has stopped the record; infinite if something does."""
        world = self._world
        now, since = world.machine.now, record.at
        for trouble in world.plan.troubles:
            if trouble.begin > now or not trouble.stops(record):
                continue
            if trouble.lasts(now):
                return math.inf
            length = trouble.end - trouble.begin
            # One that fails by itself is tried ever more seldom.
            since = max(since, trouble.end + (4 * length if trouble.partial else 0.0))
        if now - world.network.limited_at < _SETTLING:
            return math.inf
        app = self._app(record)
        if not app.alive:
            living = [other.began for other in world.apps if other.alive]
            if not living or app.ended is None:
                return math.inf
            since = max(since, app.ended[1], *living)
        if world.plan.spooled:
            since = max(since, world.disk_wrong_until)
        return since

    def tick(self) -> None:
        """Look at everything once."""
        world, now = self._world, self._world.machine.now
        for app in world.apps:
            for call in app.calls:
                if app.alive and now > call.until + 5.0 and not app.overdue:
                    app.overdue = True
                    world.find(
                        f"{app.name}: {call.what} has not returned after {now - call.began:.1f} s: "
                        f"{world.machine.where(call.task)}"
                    )
        for record in world.network.repeated:
            # A single entry finds out whether answers come back: see docs/delivery.md.
            allowed = 1 + record.copies + min(2, record.unclear)
            if record.stored > allowed:
                world.find(
                    f"{record} is stored {record.stored} times; this world justifies {allowed}"
                )
        self._open = [one for one in self._open if not one.settled]
        wait = self._wait_seconds
        late = [
            record
            for record in self._open
            if now - record.at > wait
            and self.waits_for(record)
            and now - self._free_since(record) > wait
        ]
        if len(late) > sum(app.health.dropped_total for app in world.apps if app.health):
            others = [one for one in world.records.values() if self.hopeless(one)]
            world.find(
                f"{ranges(late)} wait for more than {wait:.0f} s with nothing in their "
                f"way{' but ' + ranges(others) if others else ''}"
            )

    # Of processes.

    def ended(self, app: App, on_disk: dict[int, str]) -> None:
        """A process is no more."""
        world, now = self._world, self._world.machine.now
        assert app.ended is not None
        missing = [
            record
            for record in app.handed
            if not record.settled
            and record.number not in on_disk
            and record.number not in self._unsure
        ]
        for record in (world.records[number] for number in on_disk):
            if record.stored:
                record.copies += 1  # it ended before it could note that
        self.lost.update(record.number for record in missing)
        health = app.health
        if app.ended[0] == "exited" and app.clean:
            assert health is not None
            if health.held_in_memory:
                world.find(f"{app.name} ended with {health.held_in_memory} entries in memory")
            if len(missing) > health.dropped_total and not self._shared():
                world.find(
                    f"{app.name}: {ranges(missing)} are neither stored, refused by the server, on "
                    f"disk nor counted as dropped ({health.dropped_total} are)"
                )
        elif app.ended[0] == "killed" and app.spooled and not app.process.no_threads:
            returned = {record.number for record in app.returned}
            early = [
                record
                for record in missing
                if record.number in returned
                and now - record.at > UNACKNOWLEDGED_SECONDS
                and world.disk_wrong_until + _DISK_RETRY < record.at
            ]
            counted = 0 if health is None else health.dropped_total
            if len(early) > counted:
                world.find(
                    f"{app.name}: {ranges(early)} were handed over more than a second before it "
                    f"was killed, and are neither stored nor on disk ({counted} were dropped)"
                )

    def _shared(self) -> bool:
        return self._world.plan.spooled and len(self._world.apps) > 1

    def unsure(self, records: list[Record]) -> None:
        """A call with these was broken off: nobody can say whether it took them."""
        self._unsure.update(record.number for record in records)

    def known(self) -> tuple[set[int], set[int]]:
        """What a child has to tell."""
        return self.lost, self._unsure

    def take_over(self, known: tuple[set[int], set[int]]) -> None:
        """What a child told."""
        self.lost, self._unsure = known

    # Of the world.

    def calm(self) -> None:
        """Whatever passes is over now."""
        world = self._world
        self._held_at_calm = sum(not record.settled for record in world.records.values())
        self._requests_at_calm = world.network.requests

    def quiet(self) -> None:
        """Nothing is left to deliver."""
        world = self._world
        used = world.network.requests - self._requests_at_calm
        # Where some requests fail and some do not, entries look as if they were to blame.
        alone = 2 if any(trouble.share < 1 for trouble in world.plan.troubles) else 8
        allowed = 20 + self._held_at_calm // alone + 2 * len(world.apps)
        if any(trouble.partial for trouble in world.plan.troubles) or any(
            record.at > world.calm_at for record in world.records.values()
        ):
            return
        size = sum(record.size for record in world.records.values())
        if used > allowed + size // 100_000:
            world.find(f"{used} requests for the {self._held_at_calm} entries that were held")

    def probed(self, app: App, probe: list[Record], requests: int) -> None:
        """A burst of 200 entries of 1,000 bytes came long after all trouble."""
        world = self._world
        if any(trouble.end == math.inf for trouble in world.plan.troubles):
            return
        left = [record for record in probe if not record.settled]
        if left:
            world.find(f"{app.name}: of a burst long after all trouble {ranges(left)} are left")
        elif requests > 12:
            world.find(
                f"{app.name}: {requests} requests for {len(probe)} entries of 1,000 bytes, long "
                "after all trouble"
            )

    def finish(self) -> None:
        """The world is over: everything is somewhere."""
        world = self._world
        if world.findings:
            return
        self.tick()
        for app in world.apps:
            if app.alive:
                world.find(f"{app.name} did not end")
        on_disk = world.on_disk()
        gone = [
            record
            for record in world.records.values()
            if not record.settled
            and record.number not in on_disk
            and record.number not in self.lost
            and record.number not in self._unsure
        ]
        dropped = sum(app.health.dropped_total for app in world.apps if app.health is not None)
        if len(gone) > dropped:
            world.find(
                f"{ranges(gone)} are neither stored, refused by the server, on disk nor counted "
                f"as dropped ({dropped} are)"
            )


__all__ = ["Promises", "Trouble"]
