"""What quotas, budgets and groups look at, read from the payloads of candidates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Payload, PointId
from tsds_qdrant.errors import BadRecordError, InputError, SettingsError
from tsds_qdrant.pool.fields import fields_of, sampled_payloads
from tsds_qdrant.pool.texts import point_template
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.fields import field_values, label, listed_names, shown
from tsds_qdrant.representations.named import embedder_named
from tsds_qdrant.selection.bounds import Bounds
from tsds_qdrant.selection.quotas import NULL, Traits

PAGE = 1_000

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""The number of tokens of each of some texts."""


class TraitReader:
    """Reads traits of candidates, each once.

    Args:
        collection: holds the payloads.
        bounds: what is looked at.
        known: traits that need not be read.
        count_tokens: counts the tokens of texts; the collection's own model by default.
        template: how the texts of task examples are made, and those of points where the
            collection does not say.
        progress: stage ``payloads``.
    """

    def __init__(
        self,
        collection: Collection,
        bounds: Bounds,
        *,
        known: Mapping[PointId, Traits] | None = None,
        count_tokens: CountTokens | None = None,
        template: TextTemplate | None = None,
        progress: Progress = silent,
    ) -> None:
        names = [quota.field for quota in bounds.quotas]
        names += [bounds.group_field] if bounds.group_field else []
        self._fields = tuple(dict.fromkeys(names))
        self._collection = collection
        self._bounds = bounds
        self._count_tokens = count_tokens
        self._asked, self._template = template, TextTemplate()
        self._progress = progress
        self._known = dict(known or {})

    @property
    def known(self) -> Mapping[PointId, Traits]:
        """All that was read, or need not be."""
        return dict(self._known)

    def of(self, ids: Sequence[PointId]) -> list[Traits]:
        """The traits of ``ids``; those of a point that is gone are empty.

        Raises:
            InputError: a candidate has no number of tokens.
            SettingsError: tokens are to be counted and it is not known how.
        """
        new = iter([point_id for point_id in ids if point_id not in self._known])
        done = 0
        while page := list(islice(new, PAGE)):
            stored = {r.id: r.content for r in self._collection.retrieve(page)}
            tokens = self._tokens(stored)
            for point_id in page:
                record = stored.get(point_id, {})
                values = {name: self._values(record, name) for name in self._fields}
                self._known[point_id] = Traits(values, tokens.get(point_id, 1))
            done += len(page)
            self._progress("payloads", done, len(ids))
        return [self._known[point_id] for point_id in ids]

    def _values(self, record: Payload, name: str) -> tuple[str, ...]:
        found = field_values(record, name)
        items = [item for one in found for item in (one if isinstance(one, list) else [one])]
        return tuple(dict.fromkeys(map(label, items))) or (NULL,)

    def _tokens(self, stored: Mapping[PointId, Payload]) -> dict[PointId, int]:
        bounds = self._bounds
        if bounds.token_budget is None:
            return {}
        if bounds.token_field is not None:
            return {i: _count(record, bounds.token_field, i) for i, record in stored.items()}
        count, template = self._counting()
        texts = [_text(record, template, i) for i, record in stored.items()]
        return {i: max(1, n) for i, n in zip(stored, count(texts), strict=True)}

    def _counting(self) -> tuple[CountTokens, TextTemplate]:
        """What counts tokens, and how the texts are made whose tokens are counted."""
        info = self._collection.info()
        model = info.metadata.get("model")
        if self._count_tokens is None and model:
            self._count_tokens = getattr(embedder_named(str(model)), "count_tokens", None)
        if self._count_tokens is None:
            raise SettingsError(
                f"no tokenizer is known for the texts of collection '{info.name}', so tokens "
                f"cannot be counted; name a model that has one with --model, or a payload field "
                f"that holds their number (--token-field)"
            )
        if not self._template.to_dict():
            self._template = point_template(self._collection, self._asked, shared=True)
        if not self._template.to_dict():
            fields = listed_names(fields_of(sampled_payloads(self._collection), inside_texts=True))
            raise SettingsError(
                f"no field is known to hold the texts of collection '{info.name}' ({fields}), so "
                f"tokens cannot be counted; name it with --text-field, or a payload field that "
                f"holds their number (--token-field)"
            )
        return self._count_tokens, self._template


def _text(record: Payload, template: TextTemplate, point_id: PointId) -> str:
    try:
        return template.render(record)
    except BadRecordError as error:
        there = {"is_empty": {"key": template.fields[0].partition(".")[0]}}
        where = json.dumps({"must_not": [there]})
        raise InputError(
            f"point {point_id} {error.fault}, so its tokens cannot be counted; leave such points "
            f"out, with --filter '{where}' say, or name a payload field that holds the number of "
            f"tokens (--token-field)"
        ) from None


def _count(record: Payload, name: str, point_id: PointId) -> int:
    values = field_values(record, name)
    value = values[0] if len(values) == 1 else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 1:
        raise InputError(
            f"point {point_id} has {shown(values[0]) if values else 'nothing'} in '{name}', which "
            f"is no number of tokens; leave such points out with --filter, or repair them"
        )
    return int(value)
