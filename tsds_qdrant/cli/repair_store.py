"""``tsds-qdrant repair-store``."""

from __future__ import annotations

from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, say
from tsds_qdrant.errors import SettingsError


@taking(only(Where, "qdrant", "collection"))
def repair_store(where: Where, as_json: JsonOption = False) -> None:
    """Mend an embedded collection that cannot be opened.

    A log, segment or file of settings that is damaged is moved to NAME.damaged-N and never
    deleted; then every point is read once.

    \b
    Example:
        tsds-qdrant repair-store --qdrant ./store --collection pool
    """
    from tsds_qdrant.collections.addresses import is_server
    from tsds_qdrant.collections.edge.repair import repair_store as repair

    if is_server(where.location):
        raise SettingsError(
            f"--qdrant is '{where.location}', and only collections in a directory are mended here; "
            f"a server mends its own"
        )
    report = repair(where.location, where.collection)
    aside = {str(old): str(new) for old, new in report.aside.items()}
    if as_json:
        facts = {"aside": aside, "settings_remade": report.remade, "points": report.points}
        print_json({**facts, "may_be_lost": report.lost})
        return
    for old, new in aside.items():
        say(f"moved the damaged '{old}' to '{new}'")
    if report.remade:
        say("made the missing settings again, from the segments")
    lost = ", ".join(report.lost)
    also = f"; {lost} may be lost" if lost else ""
    say(
        f"{where.collection}: opens again, and all of its {report.points} points were read{also}: "
        f"ingest again, which stores what is missing"
    )
