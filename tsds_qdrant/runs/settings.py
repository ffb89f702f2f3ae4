"""How a run is kept, and how it is watched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import seconds_of


@dataclass(frozen=True)
class RunSettings:
    """Following changes

    Attributes:
        state: where the run is kept; nowhere by default.
        since_field: find changes by this payload field, which only grows.
        detect_updates: keep a hash of every vector, to find changes in place (reads them all).
        write_back: tag the selected points under that name.
        write_back_key: path of the payloads that gets the name too, for filters of frameworks.
        dry_run: count what would be written back, and write nothing to the collection.
    """

    state: Path | None = setting(
        None,
        "Keep the run here, for reselect, watch and more; if interrupted, it goes on.",
        metavar="RUN",
    )
    since_field: str | None = setting(
        None, "Find changes by this growing payload field.", metavar="FIELD", hidden=True
    )
    detect_updates: bool = setting(
        False, "Find vectors changed in place; reads all of them each time.", hidden=True
    )
    write_back: str | None = setting(
        None,
        "Tag selected points in the collection (payload tsds.NAME); others lose the tag.",
        metavar="NAME",
    )
    write_back_key: str | None = setting(
        None,
        "Put the name of --write-back there too, for a framework's filters: metadata.selected.",
        metavar="PATH",
        hidden=True,
    )
    dry_run: bool = setting(
        False,
        "With --write-back: only count; the collection stays as it is.",
        hidden=True,
    )

    def __post_init__(self) -> None:
        if self.state is None and (self.since_field is not None or self.detect_updates):
            raise SettingsError("--since-field and --detect-updates need a run; give --state RUN")
        if self.write_back is not None:
            from tsds_qdrant.runs.tagging import Tagging

            Tagging(self.write_back, "", self.write_back_key or "")
        elif self.write_back_key is not None:
            raise SettingsError(
                f"--write-back-key {self.write_back_key} says where the name of --write-back goes; "
                f"give --write-back NAME too"
            )
        elif self.dry_run:
            raise SettingsError(
                "--dry-run counts what --write-back would write; give --write-back too"
            )


@dataclass(frozen=True)
class WatchSettings:
    """Watching

    Attributes:
        every: seconds between checks.
        once: end after one check.
        max_failures: give up after this many checks in a row without a server; None: never.
        out: where every new selection is written.
        on_change: a command that runs after every check that changed what is selected.
        health: a JSON file that every check replaces, for probes.
        metrics: the same in the text format of Prometheus.
    """

    every: float = setting(
        60.0, "Pause between checks: 60s, 5m, 1h; 60s if unset.", metavar="TIME", parse=seconds_of
    )
    once: bool = setting(False, "End after one check.")
    max_failures: int | None = setting(
        None, "Give up after this many failed checks; never if unset.", least=1
    )
    out: Path | None = setting(None, "The selection; replaced whenever it changes.", metavar="FILE")
    on_change: str | None = setting(
        None, "Shell command to run whenever what is selected has changed.", metavar="CMD"
    )
    health: Path | None = setting(
        None, "JSON file that every check replaces: time, ok, run, error.", metavar="FILE"
    )
    metrics: Path | None = setting(
        None, "Figures for Prometheus, replaced at every check.", metavar="FILE.prom"
    )
