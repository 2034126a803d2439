"""Forked children must not keep the receiver's sockets alive.

A child has copies of all descriptors. Without this, a receiver stopped in the parent would
still seem to listen (connections are taken and never answered), and connections that the
parent closes would stay open, for as long as the child lives.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class HasDescriptors(Protocol):
    """Something with open sockets."""

    def descriptors(self) -> list[int]:
        """Their file descriptors."""


_alive: weakref.WeakSet[HasDescriptors] = weakref.WeakSet()


def close_in_children(owner: HasDescriptors) -> None:
    """From now on children forked while `owner` exists let go of its sockets."""
    _alive.add(owner)


def _in_child() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for owner in list(_alive):
        for descriptor in owner.descriptors():
            if descriptor >= 0:
                # Put something harmless in its place instead of closing: the objects that
                # know this number would later close whatever has it by then.
                os.dup2(null, descriptor)
    os.close(null)


if hasattr(os, "register_at_fork"):  # Not on Windows, which has no fork.
    os.register_at_fork(after_in_child=_in_child)
