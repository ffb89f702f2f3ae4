"""What a representation is: what a strategy can know of a candidate, made once and never mixed.

A representation turns examples into vectors of one space of a collection, into payload values, or
both. All that its values depend on is in its manifest; the manifest's hash, the fingerprint, stays
with every point, so that what was made otherwise is never compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.sparse import SparseRows

OK = "ok"
NO_SUPERVISED_TOKENS = "no_supervised_tokens"
"""Nothing of the example is to be learnt, so it has no loss."""
REFUSED = "refused_by_template"
"""The chat template of the model takes its messages in no form."""
ZERO_GRADIENT = "zero_gradient"
ZERO_VECTOR = "zero_vector"
"""A vector without a direction."""
NONFINITE = "nonfinite"
Kind = Literal["dense", "sparse", "payload"]
Way = Literal["targets", "plain_targets", "contrasts", "with_margins"]
"""How query vectors are made of task examples: as the kind makes them; with the lengths that its
blocks had before they were brought to 1; of preferences, as rejected less chosen; or, where the
kind knows margins, with these as one more entry."""
Arrays = Mapping[str, npt.NDArray[Any]]
OnBatch = Callable[[int], None]
"""Called with the number of examples done, batch by batch."""


@dataclass(frozen=True)
class Shown:
    """What a model is shown of an example.

    Attributes:
        text: the whole as one text, as the template of the collection makes it.
        messages: the dialogue, each message with ``role`` and ``content``; empty for text alone.
        asked: how many of the messages are the prompt, the rest being the answer to learn; None
            for a dialogue, whose every answer is learnt.
        tools: JSON text of the tools that the messages call, or "".
        rejected: the same with the answer that was rejected, of a preference.
    """

    text: str
    messages: tuple[Mapping[str, Any], ...] = ()
    asked: int | None = None
    tools: str = ""
    rejected: Shown | None = None


Examples = Sequence[Shown] | Float32Array | IntArray
"""n examples, or their (n, D) vectors in the space that a representation is derived from, or the
(n,) numbers of their rows in a store."""


@dataclass(frozen=True)
class Encoded:
    """What a representation makes of n examples.

    Attributes:
        rows: (n, D), or n sparse rows; None where it makes payload values alone.
        status: (n,) ``ok``, or why an example has no vector; its row means nothing then.
        values: payload field -> (n,) its values; None for a value that does not exist.
    """

    rows: Float32Array | SparseRows | None
    status: Sequence[str]
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def fine(
        cls,
        rows: Float32Array | SparseRows | None,
        count: int,
        values: Mapping[str, Sequence[Any]] | None = None,
    ) -> Encoded:
        """``count`` examples without a fault."""
        return cls(rows, [OK] * count, values or {})


class Representation(Protocol):
    """One way to represent candidates and task examples.

    Attributes:
        name: of the space, or of the payload values.
        kind: what it makes.
        metric: of a dense space: ``Cosine``, ``Dot``, ..
        source: the dense space that it is derived from ("" for the unnamed one); None where it
            reads the examples.
        dialogues: whether it reads messages; else texts alone are shown.
        fitted: whether it has all that it needs; one that does not is fitted first.
    """

    name: str
    kind: Kind
    metric: str
    source: str | None
    dialogues: bool

    @property
    def fitted(self) -> bool:
        """Whether nothing is left to be fitted."""

    @property
    def dimension(self) -> int | None:
        """D of a dense space; None of others. A model may be loaded to find out."""

    def manifest(self) -> dict[str, Any]:
        """All that the values depend on, as JSON values, its ``kind`` among them."""

    def fit(self, blocks: Callable[[], Iterator[Examples]], count: int) -> None:
        """Learn from the candidates what is frozen afterwards.

        Args:
            blocks: gives all candidates block by block, in the order of their ids, each time.
            count: how many there are.
        """

    def arrays(self) -> Arrays:
        """What was fitted, to be kept; empty where nothing is."""

    def restore(self, arrays: Arrays) -> None:
        """Take what :meth:`arrays` gave."""

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """Represent candidates.

        Raises:
            EmbeddingError: the model cannot be loaded or fails.
        """

    def targets(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """Represent task examples as queries, which need not be the same function."""


class Plain:
    """What a representation without anything to fit has in common with all others of its kind."""

    source: str | None = None
    dialogues = False
    fitted = True

    def fit(self, blocks: Callable[[], Iterator[Examples]], count: int) -> None:
        """Nothing is learnt."""

    def arrays(self) -> Arrays:
        """Nothing is kept."""
        return {}

    def restore(self, arrays: Arrays) -> None:
        """Nothing is taken."""


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that differ wherever ``manifest`` does."""
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def arrays_hash(arrays: Arrays) -> str:
    """16 hexadecimal digits that differ wherever ``arrays`` do, for a manifest."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        found.update(array.tobytes())
    return found.hexdigest()[:16]


def differences(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    """Names of what two manifests differ in, nested ones by dots, in order."""
    found: list[str] = []
    for key in sorted(theirs.keys() | mine.keys()):
        one, other = theirs.get(key), mine.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += [f"{key}.{inner}" for inner in differences(one, other)]
        elif one != other:
            found.append(key)
    return found


def plain(value: Any) -> Any:
    """``value`` as JSON gives it back: numbers of numpy become plain ones, tuples lists."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.item() if isinstance(value, np.generic) else value
