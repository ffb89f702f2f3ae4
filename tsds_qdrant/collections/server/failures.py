"""The border with Qdrant's packages: their errors become ours, and we know which to try again.

After an error: ``final`` (report it), ``retry`` (the same request may pass later), ``split`` (only
a smaller batch can pass) or ``slow`` (retry, then a smaller batch).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from json import JSONDecodeError
from typing import Literal

from tsds_qdrant.collections.meanings import GRPC_STATUS, NO_ROOM
from tsds_qdrant.collections.refusals import (
    LIMIT,
    Place,
    access_error,
    briefly,
    error_from_words,
    reason,
    too_large,
)
from tsds_qdrant.errors import (
    CollectionError,
    RequestRejectedError,
    TsdsError,
    UnconfirmedWriteError,
    UnreachableError,
)

Course = Literal["final", "retry", "split", "slow"]
LOCAL_ERRORS = (ValueError, TypeError, OverflowError, RuntimeError, AssertionError, OSError)
PARTLY = r"failed to apply (operation|update)|consistency of this update"
"""What Qdrant says of a write that some replicas have carried out, and others not."""
READS = r"read operations failed"
CONSENSUS = r"consensus operation|propose operation|leader is not established|channel sender"
LATE = r"timed out|deadline|timeout error"
AWAY = (
    r"operations failed|active replica|no connection to|unavailable|transport error|cancelled"
    r"|connection (refused|reset)|no leader|shutting down"
)
AGAIN = "run the same command again"
TOO_MUCH = "refuses a request of that size"


NO_LINE = (
    r"failed to connect to all addresses|Connection (refused|reset)|Socket closed|"
    r"DNS resolution|name resolution"
)
"""Words of gRPC where it has no connection at all."""
NO_ENCRYPTION = r"WRONG_VERSION_NUMBER|wrong version number|UNKNOWN_PROTOCOL|RECORD_LAYER"


class OversizedError(RequestRejectedError):
    """A request that Qdrant may accept in smaller pieces."""


@dataclass(frozen=True)
class Failure:
    """An error of a Qdrant package: our ``error``, its course, and the wait Qdrant asks for.

    ``partly`` says that the request, if it was a write, may have been carried out in part, and
    ``elsewhere`` that another node of the same server may answer.
    """

    error: TsdsError
    course: Course = "final"
    wait: float | None = None
    partly: bool = False
    elsewhere: bool = False

    def of_a_write(self) -> Failure:
        """What it means where the request was a write."""
        if not self.partly or isinstance(self.error, UnconfirmedWriteError):
            return self
        fault, _, remedy = str(self.error).rpartition("; ")
        text = f"{fault}, so that a write may be stored in part; {remedy}"
        again = "" if AGAIN in remedy or "try again" in remedy else f", then {AGAIN}"
        return replace(self, error=UnconfirmedWriteError(text + again))


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


def explain(error: Exception, place: Place, *, write: bool = False) -> Failure | None:
    """Say what ``error`` of qdrant-client means; None if it is not of that package.

    Of a request that is a ``write`` it is an :class:`UnconfirmedWriteError` where the write may
    have been carried out in part.
    """
    failure = _explained(error, place)
    return failure.of_a_write() if failure and write else failure


def _explained(error: Exception, place: Place) -> Failure | None:
    import grpc
    import httpx
    from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
    from qdrant_client.http.exceptions import (
        ApiException,
        ResponseHandlingException,
        UnexpectedResponse,
    )

    if isinstance(error, UnconfirmedWriteError):
        return Failure(error, "retry", partly=True)
    if isinstance(error, TsdsError):
        return None
    if isinstance(error, ResourceExhaustedResponse):
        return _busy(place, error.message, error.retry_after_s)
    if isinstance(error, QdrantException):
        return _busy(place, str(error), None)
    if isinstance(error, UnexpectedResponse):
        asked = str(error.headers.get("retry-after", ""))
        wait = float(asked) if re.fullmatch(r"\d{1,6}", asked) else None
        status = error.status_code or 0
        return _from_status(status, str(status), reason(error.content), place, wait)
    if isinstance(error, grpc.RpcError):
        code = error.code().name if isinstance(error, grpc.Call) else "UNKNOWN"
        words = (error.details() or code) if isinstance(error, grpc.Call) else str(error)
        return _from_status(GRPC_STATUS.get(code, 500), code, words, place)
    if isinstance(error, ResponseHandlingException):
        return _from_transport(error.source, place)
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL | httpx.StreamError):
        return _from_transport(error, place)
    if isinstance(error, JSONDecodeError):
        said = place.sentence("gives no answer of Qdrant's", briefly(str(error)), "try again")
        return Failure(UnreachableError(said), "retry")
    if isinstance(error, (ApiException, *LOCAL_ERRORS)):
        return Failure(error_from_words(str(error), place))
    return None


def _busy(place: Place, words: str, wait: float | None) -> Failure:
    later = "later" if wait is None else f"in {wait:g} s"
    error = UnreachableError(place.sentence("is busy", briefly(words), f"try again {later}"))
    return Failure(error, "retry", wait, partly="write rate" in words.lower())


def _silent(words: str, place: Place) -> UnreachableError:
    advice = "check the address and that Qdrant runs"
    return UnreachableError(place.sentence("gives no answer", words, advice))


def _distrusted(words: str, place: Place) -> UnreachableError | None:
    """The error of an encrypted line that cannot be made; None if ``words`` are of another."""
    if not re.search(r"SSL|CERTIFICATE|certificate", words):
        return None
    if re.search(NO_ENCRYPTION, words):
        advice = "it speaks no TLS there, so write http://, or check the port"
    elif re.search(r"not valid for|[Mm]ismatch|peer name", words):
        advice = "use a name of the server that its certificate holds"
    else:
        advice = "name the file with the certificates to trust with --ca-cert"
    return UnreachableError(place.sentence("cannot be trusted", words, advice))


def _from_transport(source: Exception, place: Place) -> Failure:
    import httpx

    words = str(source) or type(source).__name__
    if distrusted := _distrusted(words, place):
        return Failure(distrusted)
    silent = _silent(words, place)
    if isinstance(source, httpx.ConnectTimeout | httpx.PoolTimeout):
        return Failure(silent, "retry", elsewhere=True)
    if isinstance(source, httpx.TimeoutException | httpx.WriteError):
        return Failure(silent, "slow", partly=True)
    if isinstance(source, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return Failure(silent)
    if isinstance(source, httpx.TransportError):
        partly = not isinstance(source, httpx.ConnectError | httpx.ProxyError)
        return Failure(silent, "retry", partly=partly, elsewhere=True)
    if isinstance(source, RuntimeError) and "closed" in words:
        return Failure(error_from_words(words, place))
    advice = "check that the address is Qdrant's and that qdrant-client fits its version"
    return Failure(
        CollectionError(place.sentence("answers in a form that cannot be read", words, advice))
    )


def _from_status(
    status: int, label: str, words: str, place: Place, wait: float | None = None
) -> Failure:
    words = briefly(words)
    said = words if words == label else f"{label}: {words}"
    if distrusted := _distrusted(words, place):
        return Failure(distrusted)
    if re.search(NO_LINE, words):
        return Failure(_silent(words, place), "retry", wait, partly=True, elsewhere=True)
    if status in (401, 403):
        return Failure(access_error(said, place))
    if status == 413 or too_large(words):
        return Failure(OversizedError(_too_large(status, said, place)), "split")
    if status == 429 and not re.search(NO_ROOM, words, re.IGNORECASE):
        return _busy(place, words, wait)
    if status == 408 or status >= 500:
        return _from_trouble(status, said, place, wait)
    return Failure(error_from_words(said, place))


def _too_large(status: int, said: str, place: Place) -> str:
    """The sentence where not even a single row is small enough."""
    if re.search(LIMIT, said):
        return str(error_from_words(said, place))
    fault = "counts more for one request than its rate limit" if status == 429 else TOO_MUCH
    return place.sentence(fault, said, "have that limit raised")


def _from_trouble(status: int, said: str, place: Place, wait: float | None) -> Failure:
    """What a server means that does not refuse a request, but could not carry it out."""

    def says(pattern: str) -> bool:
        return bool(re.search(pattern, said, re.IGNORECASE))

    def away(fault: str, remedy: str) -> UnreachableError:
        return UnreachableError(place.sentence(fault, said, remedy))

    late = status == 408 or says(LATE)
    if says(PARTLY):
        text = place.sentence(
            "may have stored a write only in part", said, f"{AGAIN} once its nodes run"
        )
        return Failure(UnconfirmedWriteError(text), "slow" if late else "retry", wait, partly=True)
    if says(NO_ROOM):
        return Failure(error_from_words(said, place))
    if says(CONSENSUS):
        error = away("cannot agree with enough of its nodes", f"{AGAIN} once they run")
        return Failure(error, "slow", wait)
    if late:
        error = away("takes too long", "try again, or search with a smaller limit")
        return Failure(error, "slow", partly=not says(READS))
    if status in (502, 503, 504) or says(AWAY):
        error = away("is not available", "check that all its nodes run")
        return Failure(error, "retry", wait, partly=not says(READS), elsewhere=True)
    return Failure(error_from_words(said, place), partly=True)
