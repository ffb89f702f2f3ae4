"""A process that warms a tiny model up on an embedded collection, and may die on the way.

    python warm_pool.py STORE MODEL OUT [EXAMPLES]

It is killed when EXAMPLES examples have been learnt, or while the checkpoint after them is written.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

PAYLOADS = [
    {"instruction": f"say {number} times", "output": "yes " * (number % 5 + 1)}
    for number in range(40)
]
SMALL = {"rank": 2, "alpha": 8.0, "learning_rate": 0.01, "batch": 4, "epochs": 3}


def warmed(
    collection: Any, model: str, out: Path, part: Any = None, where: Any = None, **more: Any
) -> Any:
    """The report of a warm-up by small settings; ``more`` are others, or ``progress``."""
    from tsds_qdrant.records.showing import Showing
    from tsds_qdrant.representations.checkpoints.lora_settings import LoraSettings
    from tsds_qdrant.representations.language.model import LanguageModel
    from tsds_qdrant.training.warm_up import warm_up
    from tsds_qdrant.training.warm_up_part import PartSettings

    given = {name: more.pop(name) for name in ("progress", "showing") if name in more}
    return warm_up(
        collection,
        LanguageModel(model, device="cpu"),
        given.pop("showing", Showing(dialogues=True)),
        out,
        part or PartSettings(share=0.25, at_least=1),
        LoraSettings(**{**SMALL, **more}),
        where,
        **given,
    )


def main() -> None:
    from tsds_qdrant import open_collection

    store, model, out, *dying = sys.argv[1:]

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "warm-up" and dying and done >= int(dying[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    with open_collection(store, "pool") as collection:
        warmed(collection, model, Path(out), progress=progress)


if __name__ == "__main__":
    main()
