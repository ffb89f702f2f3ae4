"""What a key may do, found out by a write that names no point.

A server says of no key what it may do. But it looks at the rights of a write before anything else,
and then refuses one that names no point ("Empty update request": lib/storage and lib/collection of
Qdrant 1.18, update of points), so nothing is written and nothing is logged.
"""

from __future__ import annotations

import re

from tsds_qdrant.collections.limits import Rights
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.errors import AccessDeniedError, CollectionError

ALLOWED = r"empty update request|shard key not specified"
"""What Qdrant says to such a write of a key that may write."""


def rights_of(session: Session) -> Rights:
    """What the session's key may do with its collection."""
    if session.local:
        return Rights()
    name = session.place.collection
    try:
        session.send(lambda client: client.set_payload(name, {}, points=[]), once=True)
    except AccessDeniedError as error:
        return Rights(writes=False, refusal=str(error))
    except CollectionError as error:
        # Qdrant's own words, as a message has none that look like the key.
        allowed = re.search(ALLOWED, str(error.__cause__), re.IGNORECASE)
        return Rights(writes=True if allowed else None)
    return Rights()
