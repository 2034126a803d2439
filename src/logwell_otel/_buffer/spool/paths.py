"""Where a spool's files lie, what they are called, and whether it is safe to use them."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from logwell_otel._buffer.spool.errors import SpoolError

_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs"}
)


def canonical_endpoint(endpoint: str) -> str:
    """Returns `endpoint` without credentials, query, fragment and trailing slash.

    Credentials are cut before anything is hashed or written: a spool directory
    holds no secret, not even the hash of one.

    Raises:
        SpoolError: `endpoint` is not a URL with a host.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SpoolError(f"The spool cannot be named after this endpoint: {error}.") from None
    if not host:
        raise SpoolError("The spool cannot be named after this endpoint: it has no host.")
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != {"http": 80, "https": 443}.get(parts.scheme):
        host = f"{host}:{port}"
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def canonical_service(service: str) -> str:
    """Returns `service` as it can be encoded: the environment may give lone surrogates."""
    return service.encode("utf-8", "replace").decode()


def pool_name(endpoint: str, service: str) -> str:
    """Returns the name of the database shared by all processes of `service` at `endpoint`.

    Readable first, then a hash, so that two names that look alike stay apart.
    The same from one start to the next, and not dependent on the key: keys are
    rotated, and entries must be found after that. Each row says which project it is for.
    """
    endpoint, service = canonical_endpoint(endpoint), canonical_service(service)
    host = urlsplit(endpoint).netloc
    slug = re.sub(r"[^a-z0-9.]+", "-", f"{host}-{service}".lower()).strip("-.")[:60].strip("-.")
    digest = hashlib.sha256(msgspec.json.encode([endpoint, service])).hexdigest()[:12]
    return f"{slug}-{digest}"


def project_name(key: str) -> str:
    """What a project is known by on disk: a hash of its key, which itself is never written."""
    return hashlib.sha256(b"logwell-otel spool " + key.encode()).hexdigest()[:16]


def real(directory: str | os.PathLike[str]) -> Path:
    """Where `directory` is when all symbolic links are followed, whether it exists or not."""
    return Path(os.path.realpath(directory))


def prepare_root(directory: str | os.PathLike[str]) -> Path:
    """Creates the directory a user named, or checks it, and returns its real path.

    It may itself be reached through symbolic links, as `/var/run` is. Write
    permission for its group is accepted here and only here: Kubernetes gives it
    to every directory of a volume with an `fsGroup`.

    Raises:
        SpoolError: It cannot be created, is no directory, or somebody else could write to it
            or put another one in its place.
    """
    root = real(directory)
    try:
        for parent in reversed(root.parents):
            if not parent.exists():
                parent.mkdir(mode=0o700, exist_ok=True)
        root.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SpoolError(
            f"The spool directory {root} cannot be created ({error.strerror}): name a directory"
            " that this process may write to."
        ) from error
    if sys.platform != "win32":
        _check(root)
        for parent in root.parents:
            _check_parent(parent)
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise SpoolError(
            f"The spool directory {root} is not readable and writable by this process"
            f" (mode {stat.S_IMODE(root.stat().st_mode):04o}): give its user all three rights."
        )
    return root


def check_file(path: Path) -> os.stat_result:
    """Checks a file of the spool's own, and closes it to all but its owner.

    kubelet opens all that a volume with an `fsGroup` holds to a group, at every mount, and
    refusing would strand the entries in it.

    Raises:
        SpoolError: It is a symbolic link, no plain file or somebody else's.
        OSError: It does not exist, or the disk says no.
    """
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise SpoolError(
            f"{path} is a symbolic link; a spool follows none below its directory, because what"
            " it writes and deletes could then be anywhere. Remove the link."
        )
    if not stat.S_ISREG(status.st_mode):
        raise SpoolError(f"{path} is not a file: remove it or name another spool directory.")
    if not owner_is_us(status):
        raise SpoolError(
            f"{path} belongs to user id {status.st_uid}, not to {os.geteuid()}, who runs this"
            " process: change its owner, or name another spool directory."
        )
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o600)
    return status


def network_file_system(directory: Path) -> str | None:
    """The kind of network file system `directory` lies on, None for a local one.

    Known on Linux only. SQLite's write-ahead log is shared memory between processes, which
    such file systems do not share between hosts.
    """
    if sys.platform == "win32":
        return None  # where there is neither the list nor what its numbers are made of
    status = directory.stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:
        return None
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        if fields.split()[2:3] == [device] and (name := kind.split(" ")[0]) in _NETWORK:
            return name
    return None


def owner_is_us(status: os.stat_result) -> bool:
    """Whether a file belongs to the user this process runs as."""
    # Windows has other means, and a user's own directories closed by default.
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def _check(root: Path) -> None:
    status = root.lstat()
    advice = f"name a directory that does not exist yet, such as {root / 'logwell'}"
    if not owner_is_us(status):
        raise SpoolError(
            f"{root} belongs to user id {status.st_uid}, not to {os.geteuid()}, who runs this"
            f" process: {advice}, or change its owner."
        )
    if status.st_mode & stat.S_IWOTH:
        raise SpoolError(
            f"{root} is writable by every user (mode {stat.S_IMODE(status.st_mode):04o}):"
            f" {advice}, or take that permission away."
        )


def _check_parent(parent: Path) -> None:
    status = parent.stat()
    # The system's own; in a user namespace its root is another number.
    if status.st_uid not in (os.geteuid(), 0, Path("/").stat().st_uid):
        who = f"belongs to user id {status.st_uid}, who"
    # A volume that everybody may write to was made for whoever is in the container:
    # Kubernetes' emptyDir is one.
    elif status.st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH and not parent.is_mount():
        who = f"is writable by every user (mode {stat.S_IMODE(status.st_mode):04o}), any of whom"
    else:
        return
    raise SpoolError(
        f"{parent} {who} could put another directory in the place of the spool's: name one whose"
        " parents are yours or the system's."
    )
