"""How bergson 2.5.1 makes and reads a gradient store.

``create_index`` and ``load_gradients`` are those of its ``bergson/data.py`` (MIT License, copyright
EleutherAI), without what is for several processes: that module imports a dozen packages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def create_index(root: Path, num_grads: int, grad_sizes: dict[str, int], dtype: Any) -> np.memmap:
    grad_path = root / "gradients.bin"
    itemsize = np.dtype(dtype).itemsize * sum(grad_sizes.values())
    root.mkdir(parents=True, exist_ok=True)
    nbytes = itemsize * num_grads
    with open(grad_path, "wb") as f:  # noqa: PTH123
        f.truncate(nbytes)
    with (root / "info.json").open("w") as f:
        json.dump(
            {
                "attribute_tokens": False,
                "num_items": num_grads,
                "num_grads": num_grads,
                "grad_sizes": grad_sizes,
                "base_dtype": np.dtype(dtype).name,
            },
            f,
            indent=2,
        )
    return np.memmap(
        grad_path, dtype=np.dtype(dtype), mode="r+", shape=(num_grads, sum(grad_sizes.values()))
    )


def load_gradients(root_dir: Path | str) -> np.memmap:
    root_dir = Path(root_dir)
    with (root_dir / "info.json").open("r") as f:
        info = json.load(f)
    if "base_dtype" in info:
        dtype = np.dtype(info["base_dtype"])
    else:
        # Old stores lack base_dtype; recover the scalar dtype from a field format
        dtype = np.dtype(info["dtype"]["formats"][0]).base
    return np.memmap(
        root_dir / "gradients.bin",
        dtype=dtype,
        mode="r",
        shape=(info["num_grads"], sum(info["grad_sizes"].values())),
    )
