"""Examples of several sources as a mixture draws them: one stream that goes on where it was."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter, Record
from tsds_qdrant.errors import InputError, SettingsError, StateError
from tsds_qdrant.training.mixing import OnlineMixture
from tsds_qdrant.training.mixing_sources import Cursor, SourceReader, SourceValue, sources_of

FORM = 1
"""Of a state."""


@dataclass(frozen=True)
class Drawn:
    """An example of the stream.

    Attributes:
        row: its number in the stream, counted from 0.
        source: where it is from.
        chance: the weight of that source when it was drawn.
        record: the point with its payload.
    """

    row: int
    source: str
    chance: float
    record: Record


@dataclass(frozen=True)
class Waiting:
    """An example that was handed out, and is not yet known to have been learnt.

    Attributes:
        before: the cursor of its source before it.
    """

    row: int
    source: str
    chance: float
    before: Cursor


@dataclass
class Turn:
    """A draw, and how many examples of it are still to come."""

    source: str
    chance: float
    left: int


class MixedStream:
    """Draws sources by a mixture, and reads an example of the source drawn.

    Attributes:
        mixture: says which source; whoever trains lets it learn.
        waiting: row -> what was handed out and is awaited, see :meth:`acknowledge`.
    """

    def __init__(
        self,
        collection: Collection,
        field: str,
        mixture: OnlineMixture,
        *,
        where: Filter | None = None,
        minibatch: int = 1,
        epochs: int | None = None,
        seed: int = 0,
    ) -> None:
        """Begin a stream; nothing is read yet.

        Args:
            collection: holds the examples.
            field: payload field whose values are the sources, as texts.
            mixture: over some or all of these.
            where: what else examples match.
            minibatch: how many examples in a row come from the source of one draw.
            epochs: a source that was read that often is closed; without, the stream has no end.
            seed: of the order within the sources.

        Raises:
            SettingsError: a number below 1, or a seed below 0.
        """
        for name, number in (("minibatch", minibatch), ("epochs", epochs)):
            if number is not None and number < 1:
                raise SettingsError(f"{name} is {number}; give at least 1")
        if seed < 0:
            raise SettingsError(f"seed is {seed}; give at least 0")
        self.mixture = mixture
        self.waiting: dict[int, Waiting] = {}
        self._collection, self._field, self._where = collection, field, where
        self._minibatch, self._epochs, self._seed = minibatch, epochs, seed
        self._readers: dict[str, SourceReader] = {}
        self._cursors: dict[str, Cursor] = {}
        self._rows = 0
        self._turn: Turn | None = None
        self._drawn_before: deque[tuple[str, float]] = deque()
        self._awaits = False

    def __iter__(self) -> Iterator[Drawn]:
        """The examples from here on, until all sources are closed."""
        while (drawn := self.next()) is not None:
            yield drawn

    def next(self) -> Drawn | None:
        """The next example; None where all sources are closed.

        A source without any point left is closed.

        Raises:
            InputError: no point at all is of a source of the mixture.
        """
        if not self._readers or self.mixture.sources != tuple(self._readers):
            self._open_readers()
        while (turn := self._next_turn()) is not None:
            reader = self._readers[turn.source]
            before = reader.cursor
            record = reader.next()
            if record is None:
                self.mixture.close(turn.source)
                turn.left = 0
                continue
            turn.left -= 1
            drawn = Drawn(self._rows, turn.source, turn.chance, record)
            if self._awaits:
                waiting = Waiting(drawn.row, drawn.source, drawn.chance, before)
                self.waiting[drawn.row] = waiting
            self._rows += 1
            return drawn
        return None

    def await_acknowledgement(self) -> None:
        """Let examples from now on count as handed out, not as learnt, until acknowledged.

        For whoever fetches examples ahead of learning them.
        """
        self._awaits = True

    def acknowledge(self, row: int) -> None:
        """Let all examples up to ``row`` count as learnt."""
        self.waiting = {key: one for key, one in self.waiting.items() if key > row}

    @property
    def epochs(self) -> dict[str, int]:
        """Source -> how often it was read to its end."""
        return {source: cursor.epoch for source, cursor in self._all_cursors().items()}

    def state_dict(self) -> dict[str, Any]:
        """All that the stream behind the last learnt example depends on, as JSON holds it.

        What was handed out and is not learnt yet comes again after :meth:`load_state_dict`.
        """
        cursors = self._all_cursors()
        for one in reversed(self.waiting.values()):
            cursors[one.source] = one.before
        ahead = [(one.source, one.chance) for one in self.waiting.values()]
        turn = self._turn
        return {
            "form": FORM,
            "field": self._field,
            "seed": self._seed,
            "rows": self._rows - len(ahead),
            "cursors": {source: one.written() for source, one in sorted(cursors.items())},
            "ahead": [list(one) for one in (*ahead, *self._drawn_before)],
            "turn": [turn.source, turn.chance, turn.left] if turn is not None else None,
            "mixture": self.mixture.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, made by :meth:`state_dict` of a stream of the same settings.

        Raises:
            StateError: it is none, or of another field or seed. Nothing is changed then.
        """
        try:
            if state["form"] != FORM:
                raise ValueError(f"form {state['form']}")
            own = {"field": self._field, "seed": self._seed}
            theirs = {name: state[name] for name in own}
            rows = int(state["rows"])
            cursors = {str(key): Cursor.read(one) for key, one in state["cursors"].items()}
            ahead = deque((str(source), float(chance)) for source, chance in state["ahead"])
            turn = state["turn"]
            turn = None if turn is None else Turn(str(turn[0]), float(turn[1]), int(turn[2]))
            mixture = state["mixture"]
            named = {source for source, _ in ahead} | ({turn.source} if turn else set())
            if unknown := sorted(named - {*mixture["sources"]}):
                raise ValueError(f"unknown source '{unknown[0]}'")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise StateError(
                f"this is no state of a stream ({error}); give what state_dict() made"
            ) from None
        for name, value in own.items():
            if theirs[name] != value:
                raise StateError(
                    f"the stream was saved with {name} '{theirs[name]}' and is made with '{value}' "
                    f"now; make it as it was"
                )
        self.mixture.load_state_dict(mixture)
        self._rows, self._cursors, self._drawn_before, self._turn = rows, cursors, ahead, turn
        self._readers, self.waiting = {}, {}

    def _next_turn(self) -> Turn | None:
        """The draw that the next example belongs to; None where all sources are closed."""
        if self._drawn_before:
            return Turn(*self._drawn_before.popleft(), 1)
        if self._turn is None or not self._turn.left:
            drawn = self.mixture.draw(1)
            if not drawn:
                return None
            self._turn = Turn(drawn[0], self.mixture.weights[drawn[0]], self._minibatch)
        return self._turn

    def _all_cursors(self) -> dict[str, Cursor]:
        return {**self._cursors, **{name: one.cursor for name, one in self._readers.items()}}

    def _open_readers(self) -> None:
        values: dict[str, SourceValue] = {
            str(value): value for value in sources_of(self._collection, self._field, self._where)
        }
        cursors = self._all_cursors()
        for source in self.mixture.sources:
            if source not in values and source not in cursors:
                raise InputError(
                    f"no point has the source '{source}' in the field '{self._field}' (there are "
                    f"{', '.join(list(values)[:20]) or 'none'}); leave it out, or name the field"
                )
        self._readers = {
            source: SourceReader(
                self._collection,
                self._field,
                values.get(source, source),
                where=self._where,
                seed=self._seed,
                epochs=self._epochs,
            )
            for source in self.mixture.sources
        }
        for source in cursors.keys() & self._readers.keys():
            self._readers[source].cursor = cursors[source]
        self._cursors = cursors
