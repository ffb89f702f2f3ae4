"""Every error that tsds_qdrant raises on purpose.

    TsdsError                       exit code 1
    ├── SettingsError               exit code 2: a setting that cannot be right
    ├── InputError                  a file, record or vector that cannot be used
    │   └── BadRecordError          one record of many that cannot be used
    ├── OutputError                 a result that cannot be written
    ├── MissingPackageError         an optional package that is not installed
    ├── EmbeddingError              a model that cannot be loaded or run
    │   └── ModelUnreachableError   exit code 3: no answer from a model's endpoint
    ├── SupportError                more candidates wanted than the solution holds
    ├── ContaminationError          candidates copy test items, where that is to fail
    ├── StateError                  a run state that cannot be used
    │   └── StateLockedError        in use by another process
    ├── DepthError                  a setting that would fetch more than memory allows
    └── CollectionError             something is wrong with a collection
        ├── CollectionNotFoundError
        ├── CollectionExistsError
        ├── CollectionLockedError   embedded: open in another process
        ├── CollectionMismatchError dimension, metric or model differ
        ├── ForeignPointsError      points to be stored that something else made
        ├── UnsupportedCollectionError
        ├── PoisonedCollectionError a stored vector holds NaN or infinity
        ├── DamagedCollectionError  embedded: a file of it cannot be read
        ├── AccessDeniedError       no or wrong API key
        ├── RequestRejectedError    Qdrant refuses the request
        └── UnreachableError        exit code 3: no answer from Qdrant
            └── UnconfirmedWriteError  exit code 3: a write may be stored in part

A message is one sentence that holds the offending value, then the next step. The name of a class
without ``Error``, in snake case, is its kind for machines: ``collection_not_found``. Exit code 4
is that of a check that finds nothing but warnings.
"""

from __future__ import annotations

import re
from typing import Any


class TsdsError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        exit_code: what the CLI returns.
        retryable: the same command may pass later though nobody changes anything.
    """

    exit_code = 1
    retryable = False

    @property
    def kind(self) -> str:
        """The stable name of its class, or of the one in this module that that is a kind of."""
        named = next(c.__name__ for c in type(self).__mro__ if c.__module__ == __name__)
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", named.removesuffix("Error")).lower()


class SettingsError(TsdsError):
    """A setting that cannot be right, whatever the data."""

    exit_code = 2


class InputError(TsdsError):
    """A file, record, vector or query that cannot be used."""


class BadRecordError(InputError):
    """A record that cannot be used, though others of its file may be.

    Attributes:
        place: where it stands, "" where that is not known.
        fault: what is wrong with it, as in "is empty in 'output'".
        advice: the next step.
    """

    def __init__(self, place: Any, fault: str, advice: str) -> None:
        super().__init__(f"{place or 'a record'} {fault}; {advice}")
        self.place = place or ""
        self.fault = fault
        self.advice = advice


class OutputError(TsdsError):
    """A result that cannot be written."""


class MissingPackageError(TsdsError):
    """An optional package that is not installed; the message names the pip line."""


class EmbeddingError(TsdsError):
    """A model that cannot be loaded or run."""


class ModelUnreachableError(EmbeddingError):
    """The endpoint of a model gives no answer, or is busy."""

    exit_code = 3
    retryable = True


class SupportError(TsdsError):
    """More candidates are wanted than have a positive probability."""


class DepthError(TsdsError):
    """The settings ask for more neighbours than may be fetched."""


class ContaminationError(TsdsError):
    """Candidates that would be selected copy test items; ``found`` says which."""

    def __init__(self, message: str, found: Any = None) -> None:
        super().__init__(message)
        self.found = found


class StateError(TsdsError):
    """A run state that cannot be used: missing, foreign, broken, or in use."""


class StateLockedError(StateError):
    """A run state that another process holds."""

    retryable = True


class CollectionError(TsdsError):
    """Something is wrong with a collection or with the Qdrant that holds it."""


class CollectionNotFoundError(CollectionError):
    """No collection, or no vector, of that name."""


class CollectionExistsError(CollectionError):
    """A collection of that name exists already."""


class CollectionLockedError(CollectionError):
    """An embedded collection that another process holds open."""

    retryable = True


class CollectionMismatchError(CollectionError):
    """Dimension, metric or model differ from what the collection holds."""


class ForeignPointsError(CollectionError):
    """Points that are to be stored exist already, and something else made them."""


class UnsupportedCollectionError(CollectionError):
    """A collection of a kind that selection cannot work on."""


class PoisonedCollectionError(CollectionError):
    """A stored vector holds NaN or infinity, which breaks approximate search."""


class DamagedCollectionError(CollectionError):
    """An embedded collection one of whose files cannot be read."""


class AccessDeniedError(CollectionError):
    """Qdrant asks for another API key."""


class RequestRejectedError(CollectionError):
    """Qdrant refuses a request for good."""


class UnreachableError(CollectionError):
    """Qdrant gives no answer."""

    exit_code = 3
    retryable = True


class UnconfirmedWriteError(UnreachableError):
    """A write that some replicas, or none, may have stored: it is to be repeated."""
