"""What words of Qdrant mean: the error, and a sentence with the next step."""

from __future__ import annotations

from tsds_qdrant.errors import (
    AccessDeniedError,
    CollectionError,
    CollectionExistsError,
    CollectionLockedError,
    CollectionMismatchError,
    CollectionNotFoundError,
    RequestRejectedError,
    SettingsError,
    TsdsError,
    UnreachableError,
)

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
"""The status that REST gives in the place of a code of gRPC."""
NO_ROOM = r"no space left|not enough (space|memory|disk)|insufficient|available disk"
Row = tuple[str, type[TsdsError], str]
"""A pattern of Qdrant's words, the error, and its sentence after the place; {0} is a group."""

ACCESS: tuple[Row, ...] = (
    (
        r"must provide an API key",
        AccessDeniedError,
        "asks for an API key ({words}); set TSDS_QDRANT_API_KEY",
    ),
    (
        r"expired",
        AccessDeniedError,
        "refuses a token that has expired ({words}); set TSDS_QDRANT_API_KEY to a new one",
    ),
    (
        r"global manage|write access",
        AccessDeniedError,
        "lets this API key only read ({words}); set TSDS_QDRANT_API_KEY to one that may write",
    ),
    (
        r"access to collection (.+) is required",
        AccessDeniedError,
        "is closed to this API key ({words}); set TSDS_QDRANT_API_KEY to one for '{0}', or check "
        "--collection",
    ),
    (
        r"(global|manage) access",
        AccessDeniedError,
        "asks for an API key for all collections here ({words}); set TSDS_QDRANT_API_KEY to one",
    ),
    (
        r"restriction",
        AccessDeniedError,
        "restricts this API key to some payloads ({words}); set TSDS_QDRANT_API_KEY to one "
        "without that",
    ),
    (
        r"locked",
        UnreachableError,
        "is locked by who looks after it ({words}); run the same command again once it is not",
    ),
    (
        r"",
        AccessDeniedError,
        "refuses the API key ({words}); set TSDS_QDRANT_API_KEY to one that it knows",
    ),
)

WORDS: tuple[Row, ...] = (
    (
        r"already accessed",
        CollectionLockedError,
        "is open in another process, or in another client of this one; close that, then try again",
    ),
    (
        r"already (exists|contains)",
        CollectionExistsError,
        "exists already ({words}); choose another name",
    ),
    (
        r"no point with id",
        RequestRejectedError,
        "lacks a point that was to be written ({words}); run the same command again",
    ),
    (
        r"valid point id",
        RequestRejectedError,
        "takes whole numbers from 0 and UUIDs as ids ({words}); change that id",
    ),
    (
        r"shard key not specified",
        RequestRejectedError,
        "is sharded by key ({words}); name the key of the points to write",
    ),
    (
        r"shard key (.+) not found",
        RequestRejectedError,
        "has no shard key {0} ({words}); create it, or choose one that is there",
    ),
    (
        r"vector name|vector with name|vectors? .* not found|no vector",
        CollectionNotFoundError,
        "has no such vector ({words}); choose one with --vector",
    ),
    (
        r"collection.*(not found|doesn.t exist)|directory .* does not exist|no segments were load",
        CollectionNotFoundError,
        "does not exist ({words}); check --qdrant and --collection",
    ),
    (
        r"dimension error|incompatible",
        CollectionMismatchError,
        "does not fit ({words}); use the model that made its vectors",
    ),
    (
        r"index required but not found for \"(.+?)\"",
        RequestRejectedError,
        "refuses a filter by '{0}' without a payload index ({words}); create that index, or leave "
        "the filter out",
    ),
    (
        r"no range index for .order_by. key: .(.+?)`",
        RequestRejectedError,
        "has no range index on '{0}' to order by ({words}); create an integer or float index",
    ),
    (
        r"no appropriate index for faceting: .(.+?)`",
        RequestRejectedError,
        "has no index to count the values of '{0}' ({words}); create a keyword or integer index",
    ),
    (
        r"exact search disabled",
        RequestRejectedError,
        "allows no exact search ({words}); leave --exact out, or have search_allow_exact set to "
        "true",
    ),
    (
        r"filter condition limit reached \((\d+) > (\d+)\)",
        RequestRejectedError,
        "limits the conditions of a filter to {1}, and this one has {0} (strict mode); shorten it, "
        "or have filter_max_conditions raised to {0}",
    ),
    (
        r"condition size limit reached \((\d+) > (\d+)\)",
        RequestRejectedError,
        "limits the length of a list in a filter to {1}, and this one has {0} (strict mode); "
        "shorten it, or have condition_max_size raised to {0}",
    ),
    (
        r"maximum number of payload ind",
        RequestRejectedError,
        "allows no more payload indexes ({words}); delete one, or have max_payload_index_count "
        "raised",
    ),
    (
        r"max\w* .*(limit|number) of .*reached|exceeding the configured limit|resource quota",
        RequestRejectedError,
        "has reached a size that it is limited to ({words}); have that limit raised, or delete "
        "points, then run the same command again",
    ),
    (
        NO_ROOM,
        RequestRejectedError,
        "finds no room on its disk ({words}); make room, then run the same command again",
    ),
    (
        r"deserializing response|recursion limit",
        CollectionError,
        "has a payload nested deeper than gRPC carries, some 30 levels ({words}); leave --grpc out",
    ),
    (
        r"instance is closed|has been closed|not initialized",
        CollectionError,
        "is closed; open it again",
    ),
    (
        r"untagged enum|format error in json",
        RequestRejectedError,
        "cannot read the request ({words}); check the filter, and that qdrant-client fits its "
        "version",
    ),
    (
        r"^(404|NOT_FOUND|UNIMPLEMENTED)",
        RequestRejectedError,
        "is not known there ({words}); check that the address is Qdrant's",
    ),
    (
        r"^5\d\d|^(INTERNAL|UNKNOWN|DATA_LOSS)",
        RequestRejectedError,
        "fails at a request ({words}); look for the cause in the log of Qdrant",
    ),
    (
        r"failed to parse: ",
        SettingsError,
        "is no address ({words}); use http://HOST:PORT",
    ),
    (
        r"",
        RequestRejectedError,
        "refuses the request ({words}); check the settings against its configuration",
    ),
)
