"""Whose request it is, behind proxies."""

from __future__ import annotations

from ipaddress import ip_address


def client_address(peer: str | None, forwarded_for: str | None, trusted_proxies: int) -> str | None:
    """The client's address, as far as it can be believed.

    Every proxy appends the address it was called from to `X-Forwarded-For`; what stands
    left of the entries of our own proxies was written by the client and may be anything.

    Args:
        peer: Address the connection came from.
        forwarded_for: Value of `X-Forwarded-For`; several headers joined by commas.
        trusted_proxies: How many proxies of one's own stand in front. 0 ignores the header.

    Returns:
        The entry the outermost of these proxies has written; `peer` where there are fewer
        entries than proxies, or where it is no IP address.
    """
    if trusted_proxies <= 0 or not forwarded_for:
        return peer
    entries = forwarded_for.split(",")
    if len(entries) < trusted_proxies:
        return peer
    return _address(entries[-trusted_proxies].strip()) or peer


def _address(text: str) -> str | None:
    """An IP address without the port that some proxies write: `192.0.2.1:80`, `[::1]:80`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None
