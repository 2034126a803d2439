"""Where a command writes: text for people, in colour where they see it."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

_RESET: Final = "\x1b[0m"
_CODES: Final = {
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
    "green": "\x1b[32m",
    "red": "\x1b[31m",
    "yellow": "\x1b[33m",
}
_READER_GONE: Final = (errno.EPIPE, errno.ECONNRESET)


class Terminal:
    """Standard output and standard error.

    A reader that goes away (`| head`) is no error: what is written then is lost, and the
    command goes on, so that its exit status is right. A full disk is one: it is said on
    standard error, and `failed` is true.

    Args:
        output: For what was asked for.
        errors: For what went wrong.
        colour: Whether `style` colours.
        person: Whether somebody can be asked something.
    """

    def __init__(
        self, output: TextIO, errors: TextIO, *, colour: bool = False, person: bool = False
    ) -> None:
        self.person = person
        self.reader_gone: bool = False
        """True once nobody reads standard output any more."""
        self.failed: bool = False
        """True once standard output took no more for another reason."""
        self._output = output
        self._errors = errors
        self._colour = colour
        for stream in (output, errors):
            # A terminal in another encoding than UTF-8 gets escapes for what it cannot show.
            if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
                reconfigure(errors="backslashreplace")

    @classmethod
    def standard(cls) -> Self:
        """That of the process."""
        open_standard_streams()
        return cls(
            sys.stdout,
            sys.stderr,
            colour=wants_colour(sys.stdout, os.environ),
            person=sys.stdin.isatty(),
        )

    def line(self, text: str = "") -> None:
        """Write a line to standard output."""
        self._write(self._output, f"{text}\n")

    def raw(self, text: str) -> None:
        """Write a text to standard output as it is."""
        self._write(self._output, text)

    def error(self, text: str) -> None:
        """Write a line to standard error; a key that stands in another's place is hidden."""
        from logwell_otel._diagnostics import hide_keys  # noqa: PLC0415 - errors are few

        self._write(self._errors, f"{hide_keys(text)}\n")

    def ask(self, question: str) -> str:
        """Ask the person at the terminal; an end of input is an empty answer."""
        self._write(self._errors, f"{question} ")
        return sys.stdin.readline().strip()

    def style(self, name: str, text: str) -> str:
        """`text`, printable, and in a colour if there are colours and `name` is one."""
        text = printable(text)
        return f"{_CODES[name]}{text}{_RESET}" if self._colour and name in _CODES else text

    @property
    def shows(self) -> bool:
        """Whether standard output is a terminal."""
        return self._output.isatty()

    @property
    def tells(self) -> bool:
        """Whether standard error is a terminal: for what only a person there wants to know."""
        return self._errors.isatty()

    def progress(self, text: str) -> None:
        """Write how far it is to standard error, over what was written there last."""
        self._write(self._errors, f"\r\x1b[K{text}")

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            if text:  # a full disk refuses nothing, too
                stream.write(text)
            stream.flush()
        except OSError as error:
            # Python flushes once more at exit, would print this error then and make the exit
            # status 120: what is still in the buffer goes to the null device.
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, stream.fileno())
            os.close(devnull)
            if stream is not self._output:
                return
            if error.errno in _READER_GONE:
                self.reader_gone = True
            else:
                self.failed = True
                self.error(f"logwell-otel: the output cannot be written: {error.strerror}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._output, self._errors):
            self._write(stream, "")


def open_standard_streams() -> None:
    """Open the null device where standard input, output or error is closed (`2>&-`).

    Python has None in their place then, and the system gives their numbers to the next files
    and connections: what a library prints would be sent to the server.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        descriptor = os.open(os.devnull, os.O_RDONLY if name == "stdin" else os.O_WRONLY)
        if descriptor != number and not _is_open(number):
            os.dup2(descriptor, number)
            os.close(descriptor)
            descriptor = number
        os.set_inheritable(descriptor, True)
        mode = "r" if name == "stdin" else "w"
        setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour: on a terminal, unless `NO_COLOR` is set (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _python_escape(character: str) -> str:
    return repr(character)[1:-1]


def printable(text: str, escape: Callable[[str], str] = _python_escape) -> str:
    """Text from a file or a server, without anything that a terminal would act on."""
    return "".join(part if part.isprintable() else escape(part) for part in text)
