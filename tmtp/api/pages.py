"""Lists in pages: `limit` items after the cursor `after`, which is the `next` of the page before."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Query

Limit = Annotated[int, Query(100, ge=1, le=500, description="how many items at most")]
After = Annotated[int | None, Query(None, ge=0, le=2**63 - 1, description="next of the page before")]


def page(items: list[Any], limit: int, cursors: list[Any]) -> dict[str, Any]:
    """Return a page of items that were read with one more than `limit`, and the cursor of each item."""
    more = len(items) > limit
    return {"items": items[:limit], "next": str(cursors[limit - 1]) if more else None}
