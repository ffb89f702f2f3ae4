"""The border with Qdrant's packages: their errors become ours, and we know which to try again.

Four courses are open after an error: ``final`` (report it), ``retry`` (the same request may pass
later), ``split`` (only a smaller batch can pass) and ``slow`` (retry, then a smaller batch).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tsds_qdrant.collections.refusals import NO_ROOM, Place, error_from_words, reason, too_large
from tsds_qdrant.errors import (
    AccessDeniedError,
    CollectionError,
    RequestRejectedError,
    TsdsError,
    UnreachableError,
)

Course = Literal["final", "retry", "split", "slow"]
LOCAL_ERRORS = (ValueError, TypeError, OverflowError, RuntimeError, AssertionError, OSError)
GRPC_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 408,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "ABORTED": 503,
    "CANCELLED": 503,
}


class OversizedError(RequestRejectedError):
    """A request that Qdrant may accept in smaller pieces."""


@dataclass(frozen=True)
class Failure:
    """An error of a Qdrant package: our ``error``, its course, and the wait Qdrant asks for."""

    error: TsdsError
    course: Course = "final"
    wait: float | None = None


@contextmanager
def server_failures(place: Place) -> Iterator[None]:
    """Raise errors of qdrant-client (REST, gRPC, local mode) as ours."""
    try:
        yield
    except Exception as error:
        failure = explain(error, place)
        if failure is None:
            raise
        raise failure.error from error


def explain(error: Exception, place: Place) -> Failure | None:
    """Say what ``error`` of qdrant-client means; None if it is not of that package."""
    import grpc
    import httpx
    from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
    from qdrant_client.http.exceptions import (
        ApiException,
        ResponseHandlingException,
        UnexpectedResponse,
    )

    if isinstance(error, TsdsError):
        return None
    if isinstance(error, ResourceExhaustedResponse):
        return _busy(place, error.message, error.retry_after_s)
    if isinstance(error, QdrantException):
        return _busy(place, str(error), None)
    if isinstance(error, UnexpectedResponse):
        asked = str(error.headers.get("retry-after", ""))
        wait = float(asked) if re.fullmatch(r"\d{1,6}", asked) else None
        return _from_status(error.status_code or 0, reason(error.content), place, wait)
    if isinstance(error, grpc.RpcError):
        code = error.code().name if isinstance(error, grpc.Call) else "UNKNOWN"
        words = (error.details() or code) if isinstance(error, grpc.Call) else str(error)
        return _from_status(GRPC_STATUS.get(code, 500), words, place)
    if isinstance(error, ResponseHandlingException):
        return _from_transport(error.source, place)
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL | httpx.StreamError):
        return _from_transport(error, place)
    if isinstance(error, (ApiException, *LOCAL_ERRORS)):
        return Failure(error_from_words(place.clean(str(error)), place))
    return None


def _busy(place: Place, words: str, wait: float | None) -> Failure:
    words = place.clean(words)
    later = "later" if wait is None else f"in {wait:g} s"
    error = UnreachableError(f"{place} is busy ({words}); try again {later}")
    return Failure(error, "retry", wait)


def _from_transport(source: Exception, place: Place) -> Failure:
    import httpx

    words = place.clean(str(source)) or type(source).__name__
    silent = UnreachableError(
        f"{place} gives no answer ({words}); check the address and that Qdrant runs"
    )
    if isinstance(source, httpx.ConnectTimeout | httpx.PoolTimeout):
        return Failure(silent, "retry")
    if isinstance(source, httpx.TimeoutException | httpx.WriteError):
        return Failure(silent, "slow")
    if isinstance(source, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return Failure(silent)
    if isinstance(source, httpx.TransportError):
        return Failure(silent, "final" if re.search(r"SSL|CERTIFICATE", words) else "retry")
    if isinstance(source, RuntimeError) and "closed" in words:
        return Failure(error_from_words(words, place))
    return Failure(
        CollectionError(
            f"{place} answers in a form that cannot be read ({words}); "
            f"check that the address is Qdrant's and that qdrant-client fits its version"
        )
    )


def _from_status(status: int, words: str, place: Place, wait: float | None = None) -> Failure:
    words = place.clean(words)
    said = f"{status}: {words}"
    if status in (401, 403):
        return Failure(
            AccessDeniedError(
                f"{place} refuses the API key ({said}); "
                f"set TSDS_QDRANT_API_KEY to one that may use it"
            )
        )
    if status == 408 or "timed out" in words:
        text = f"{place} takes too long ({said}); try again, or search with a smaller limit"
        return Failure(UnreachableError(text), "slow")
    if status == 413 or too_large(words):
        text = f"{place} refuses a request of that size ({said}); raise its limits"
        return Failure(OversizedError(text), "split")
    if status == 429 and not re.search(NO_ROOM, words, re.IGNORECASE):
        return _busy(place, words, wait)
    if status in (502, 503, 504) or re.search(r"operations failed|active replicas", words):
        text = f"{place} is not available ({said}); check the state of the cluster"
        return Failure(UnreachableError(text), "retry", wait)
    return Failure(error_from_words(said, place))
