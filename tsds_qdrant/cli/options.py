"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from tsds_qdrant.errors import SettingsError


def checked_location(location: str) -> str:
    """``location``, unless it is one that would silently mean a directory.

    Raises:
        SettingsError: it is empty, or ``HOST:PORT`` without a scheme.
    """
    if not location.strip():
        raise SettingsError("--qdrant is empty; give a directory or the URL of a server")
    if re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]+", location) and not Path(location).exists():
        raise SettingsError(f"--qdrant is '{location}'; write http://{location} for a server")
    return location


QdrantOption = Annotated[
    str,
    typer.Option(
        "--qdrant",
        envvar="TSDS_QDRANT",
        metavar="PATH|URL",
        callback=checked_location,
        help="Directory of embedded collections, or URL of a Qdrant server.",
    ),
]
CollectionOption = Annotated[
    str, typer.Option("--collection", metavar="NAME", help="The collection of candidates.")
]
VectorOption = Annotated[
    str | None,
    typer.Option("--vector", metavar="NAME", help="Which vector, if the points have several."),
]
AskKeyOption = Annotated[
    bool,
    typer.Option(
        "--ask-api-key",
        help="Ask for the server's API key; otherwise TSDS_QDRANT_API_KEY is used if set.",
    ),
]
GrpcOption = Annotated[
    bool, typer.Option("--grpc", help="Speak gRPC to the server: faster for large answers.")
]
GrpcPortOption = Annotated[
    int,
    typer.Option("--grpc-port", min=1, max=65_535, metavar="PORT", help="Where --grpc connects."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        help="sentence-transformers model: of the hub, a directory, or package:NAME.",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="cpu|cuda|mps", help="Where the model runs; best by default."),
]
BatchOption = Annotated[
    int, typer.Option("--batch-size", min=1, help="Texts in one forward pass of the model.")
]
TextFieldOption = Annotated[
    str | None,
    typer.Option("--text-field", metavar="FIELD", help="Field that holds a record's text."),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        metavar="TEXT",
        help=r'Text made of fields: "{instruction}\n{output}"; {input?} may be missing.',
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the figures as JSON on stdout, and no talk.")
]
QueriesOption = Annotated[
    str,
    typer.Option(
        "--queries",
        metavar="FILE|X.npy|collection:NAME",
        help="Task examples: records, vectors, or a collection at the same place.",
    ),
]
WeightFieldOption = Annotated[
    str | None,
    typer.Option(
        "--weight-field", metavar="FIELD", help="Field of a task example that holds its weight."
    ),
]
CostScaleOption = Annotated[
    str,
    typer.Option(
        "--cost-scale",
        metavar="C|auto",
        help="Unit of distance; auto: median distance to the 32nd neighbour.",
    ),
]
BandwidthOption = Annotated[
    str,
    typer.Option(
        "--bandwidth",
        metavar="H|auto",
        help="How near a near-duplicate is; 0: all differ; auto: 0.45 x typical distance.",
    ),
]
NoScansOption = Annotated[
    bool,
    typer.Option("--no-scans", help="Never scan, as on pools too large for it; recall is unknown."),
]
ExactOption = Annotated[bool, typer.Option("--exact", help="Scan in every search; slower.")]
RecallOption = Annotated[
    float,
    typer.Option("--recall", metavar="R", help="Recall that approximate searches must reach."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same selection.")]
FilterOption = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help='Only candidates that match: {"must": [{"key": "lang", "match": {"value": "en"}}]}',
    ),
]


def api_key(ask: bool) -> str | None:
    """The API key, from a prompt or the environment; never from the command line."""
    if ask:
        return str(typer.prompt("API key", hide_input=True, err=True))
    return os.environ.get("TSDS_QDRANT_API_KEY")


def number_or_auto(text: str, option: str) -> float | None:
    """A number, or None for ``auto``.

    Raises:
        SettingsError: neither.
    """
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{option} is '{text}'; give a number or auto") from None


def sizes_of(text: str | None) -> tuple[int, ...]:
    """Sizes from ``1000`` or ``1000,10000``.

    Raises:
        SettingsError: a part is no whole number.
    """
    if text is None:
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--size is '{text}'; give whole numbers like 1000,10000") from None


def alphas_of(text: str | None) -> tuple[float, ...] | None:
    """Alphas from ``0.9,0.5``; None if not given.

    Raises:
        SettingsError: a part is no number.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--alphas is '{text}'; give numbers like 0.9,0.5,0.1") from None


def filter_of(text: str | None) -> dict[str, Any] | None:
    """A payload filter from JSON.

    Raises:
        SettingsError: no JSON object.
    """
    if text is None:
        return None
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--filter is no JSON ({error}); quote it for the shell") from None
    if not isinstance(parsed, dict):
        raise SettingsError(
            f"--filter is {text}; give an object like "
            '{"must": [{"key": "lang", "match": {"value": "en"}}]}'
        )
    return parsed
