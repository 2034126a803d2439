"""A system without what only POSIX has: no fork, no flock, no user ids, no SIGKILL.

It is not Windows, only what Windows lacks: names that are not there fail here as they would there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.process import run

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

# What others import stays what it is.
WITHOUT = """
import asyncio, concurrent.futures, logging, multiprocessing, os, pathlib, signal, sqlite3, ssl
import subprocess, sys, tempfile, types, urllib.request, uuid
import certifi, h11, httpcore, msgspec, opentelemetry.sdk._logs.export

def locking(descriptor, mode, count):
    assert (mode, count) == (2, 1)

for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
for name in (
    "fork forkpty register_at_fork getuid geteuid getgid getegid major minor chown fchmod "
    "fchown killpg getpgid setsid wait4 O_CLOEXEC O_NOFOLLOW O_DIRECTORY O_NONBLOCK statvfs uname"
).split():
    vars(os).pop(name, None)
for name in "SIGKILL SIGHUP SIGUSR1 SIGALRM SIGPIPE SIGCHLD pthread_sigmask setitimer".split():
    vars(signal).pop(name, None)
sys.platform = "win32"
"""
PROGRAM = """
import logwell_otel
from logwell_otel.integrations.asgi import RequestLogMiddleware

pipeline = logwell_otel.configure(spool_dir=sys.argv[1] or None, sampling=True, redact=True)
logging.getLogger("shop").warning("order placed")
assert pipeline.force_flush(), pipeline.health()
logging.getLogger("shop").error("the last")
"""


def test_deliver(receiver: DevServer, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WITHOUT + PROGRAM)
    run("python program.py ''", receiver, cwd=tmp_path)
    assert [entry.message for entry in receiver.entries()] == ["order placed", "the last"]


def test_spool(receiver: DevServer, tmp_path: Path) -> None:
    program = PROGRAM.replace("assert pipeline.force_flush(", "assert not pipeline.force_flush(50")
    (tmp_path / "program.py").write_text(WITHOUT + program)
    refused = {"LOGWELL_ENDPOINT": "http://127.0.0.1:9", "LOGWELL_TIMEOUT": "1"}
    done = run("python program.py spool", receiver, refused, cwd=tmp_path)
    assert "2 entries left in the spool at shutdown" in done.stderr
    (tmp_path / "spool").chmod(0o700)
    other = next((tmp_path / "spool").glob("*.db"))
    assert other.stat().st_size


def test_the_commands(receiver: DevServer, tmp_path: Path) -> None:
    text = 'from logwell_otel.cli import main\nsys.exit(main(["check"]))'
    (tmp_path / "program.py").write_text(f"{WITHOUT}\n{text}")
    done = run("python program.py", receiver, cwd=tmp_path)
    assert "Nothing failed" in done.stdout
