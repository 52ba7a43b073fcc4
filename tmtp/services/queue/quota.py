"""Nodes that more waits for than TMTP["LIMITS"]["waiting_per_node"] (in this process, as `sweeping` counts them).

What is for a user by name is refused while each of their nodes is among these: whoever sends is told, nothing is
dropped. What is for a group is not: one absent member would keep all others from it.
"""

from __future__ import annotations

from collections.abc import Collection

from ..errors import Unreachable

full: set[int] = set()


def check_room(name: str, nodes: Collection[int]) -> None:
    """Raises Unreachable when all nodes of the user called `name` are full."""
    if full and nodes and full.issuperset(nodes):
        raise Unreachable("unreachable", name=name)
