"""Indexes on payload fields, between Qdrant's JSON and the embedded engine's own classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

from tsds_qdrant.collections.whole import Index
from tsds_qdrant.errors import UnsupportedCollectionError

PARAMS: Mapping[str, Any] = {
    "keyword": edge.KeywordIndexParams,
    "integer": edge.IntegerIndexParams,
    "float": edge.FloatIndexParams,
    "geo": edge.GeoIndexParams,
    "bool": edge.BoolIndexParams,
    "datetime": edge.DatetimeIndexParams,
    "uuid": edge.UuidIndexParams,
    "text": edge.TextIndexParams,
}
ENUMS: Mapping[str, Any] = {"memory": edge.Memory, "tokenizer": edge.TokenizerType}


def schema_of(index: Index, field: str) -> Any:
    """What the engine makes the ``index`` on ``field`` of.

    Raises:
        UnsupportedCollectionError: the engine has no such index.
    """
    kind = PARAMS.get(index.kind)
    if kind is None:
        raise UnsupportedCollectionError(
            f"the payload field '{field}' has an index of the kind '{index.kind}', which the "
            f"embedded engine does not make; delete that index, or use a newer qdrant-edge-py"
        )
    taken = _names(kind)
    given = {name: value for name, value in index.params.items() if name in taken}
    return kind(**{name: _made(name, value) for name, value in given.items() if value is not None})


def index_of(info: edge.PayloadIndexInfo) -> Index:
    """The index that the engine describes."""
    kind = _word(info.data_type)
    if info.params is None:
        return Index(kind)
    return Index(kind, _params(info.params, kind))


def as_read_back(index: Index, field: str) -> Index:
    """``index`` as the engine describes it once it is made; raises like :func:`schema_of`."""
    return Index(index.kind, _params(schema_of(index, field), index.kind))


def _names(kind: Any) -> list[str]:
    signature: str = kind.__text_signature__
    return [part.split("=")[0].strip() for part in signature.strip("()").split(",")]


def _word(member: Any) -> str:
    """``PayloadSchemaType.Keyword`` as ``keyword``."""
    return repr(member).rsplit(".", 1)[-1].lower()


def _member(kind: Any, word: str) -> Any:
    wanted = word.replace("_", "").lower()
    return next(getattr(kind, name) for name in dir(kind) if name.lower() == wanted)


def _made(name: str, value: Any) -> Any:
    if name in ENUMS:
        return _member(ENUMS[name], value)
    if name == "stopwords":
        if isinstance(value, str):
            return _member(edge.Language, value)
        languages = {_member(edge.Language, one) for one in value.get("languages") or ()}
        return edge.StopwordsSet(languages or None, set(value.get("custom") or ()) or None)
    if name == "stemmer":
        language = value.get("language")
        if language is None:
            return edge.DisabledStemmer()
        return edge.SnowballParams(_member(edge.SnowballLanguage, language))
    if name == "scoring" and isinstance(value, Mapping):
        return edge.TextScoringParams()
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, edge.StopwordsSet):
        languages = sorted(map(_word, value.languages or ()))
        return {"languages": languages, "custom": sorted(value.custom or ())}
    if isinstance(value, edge.SnowballParams):
        return {"type": "snowball", "language": _word(value.language)}
    if isinstance(value, edge.DisabledStemmer):
        return {"type": "none"}
    if isinstance(value, edge.TextScoringParams):
        return {"type": "bm25"}
    return _word(value)


def _params(schema: Any, kind: str) -> dict[str, Any]:
    values = {name: getattr(schema, name, None) for name in _names(PARAMS[kind])}
    return {name: _plain(one) for name, one in values.items() if one is not None}
