"""What a spool's database is called, and what a project is known by in it."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

import msgspec


def encodable(service: str) -> str:
    """`service` as it can be written: the environment may give lone surrogates."""
    return service.encode("utf-8", "replace").decode()


def pool_name(endpoint: str, service: str) -> str:
    """The name of the database shared by all processes of `service` at `endpoint`.

    Readable first, then a hash, so that two names that look alike stay apart.
    The same from one start to the next, and not dependent on the key: keys are
    rotated, and entries must be found after that. Each row says which project it is for.

    Args:
        endpoint: As `base_url` gives it: it holds no secret, not even to be hashed.
        service: The service name.
    """
    service = encodable(service)
    host = urlsplit(endpoint).netloc
    slug = re.sub(r"[^a-z0-9.]+", "-", f"{host}-{service}".lower()).strip("-.")[:60].strip("-.")
    digest = hashlib.sha256(msgspec.json.encode([endpoint, service])).hexdigest()[:12]
    return f"{slug}-{digest}"


def project_name(key: str) -> str:
    """What a project is known by on disk: a hash of its key, which itself is never written."""
    return hashlib.sha256(b"logwell-otel spool " + key.encode()).hexdigest()[:16]
