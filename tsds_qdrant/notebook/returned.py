"""What was selected, as a table of pandas, polars or datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tsds_qdrant.errors import MissingPackageError
from tsds_qdrant.notebook.frames import class_names

OURS = "tsds_"
"""Begins the name of a column of ours where the caller has one of that name."""
Columns = Mapping[str, Sequence[Any]]


def as_pandas(given: Any, labels: Sequence[Any], columns: Columns) -> Any:
    """Rows as a DataFrame of pandas.

    Args:
        given: n rows: a table, or a list of records.
        labels: n labels of its index, where ``given`` is none of pandas.
        columns: name -> n values, to be added.

    Raises:
        MissingPackageError: pandas is not installed.
    """
    with _needing("pandas"):
        import pandas as pd
    frame = given
    if not _of(given, "pandas"):
        frame = pd.DataFrame(given) if isinstance(given, list) else given.to_pandas()
        frame.index = pd.Index(labels)
    own = _free(columns, list(frame.columns))
    return frame.assign(
        **{name: pd.array(values) if None in values else values for name, values in own.items()}
    )


def as_polars(given: Any, columns: Columns) -> Any:
    """Rows as a DataFrame of polars; see :func:`as_pandas`.

    Raises:
        MissingPackageError: polars is not installed.
    """
    with _needing("polars"):
        import polars as pl
    frame = given
    if isinstance(given, list):
        frame = pl.DataFrame(given, infer_schema_length=None)
    elif not _of(given, "polars"):
        frame = pl.from_arrow(_table(given))
    own = _free(columns, frame.columns)
    series = [pl.Series(name, values, strict=False) for name, values in own.items()]
    return frame.with_columns(series) if frame.width else pl.DataFrame(series)


def as_dataset(given: Any, columns: Columns) -> Any:
    """Rows as a ``datasets.Dataset``, whose features stay; see :func:`as_pandas`.

    Raises:
        MissingPackageError: the package is not installed.
    """
    with _needing("datasets"):
        import datasets
    if not _of(given, "datasets"):
        table = _table(given)
        own = _free(columns, table.column_names)
        if not table.num_columns:
            return datasets.Dataset.from_dict({name: list(values) for name, values in own.items()})
        for name, values in own.items():
            table = table.append_column(name, [list(values)])
        return datasets.Dataset(table)
    for name, values in _free(columns, given.column_names).items():
        given = given.add_column(name, list(values))
    return given


def _table(given: Any) -> Any:
    """``given`` as a table of Arrow."""
    import pyarrow as pa

    if isinstance(given, list):
        return pa.Table.from_pylist(given)
    if _of(given, "pandas"):
        return pa.Table.from_pandas(given, preserve_index=False)
    if _of(given, "polars"):
        return given.to_arrow()
    if _of(given, "datasets"):
        return given.with_format("arrow")[:]
    return pa.table(given) if not hasattr(given, "append_column") else given


def _of(given: Any, package: str) -> bool:
    return any(name == package for name, _ in class_names(given))


def _free(columns: Columns, taken: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """``columns``, under other names where these are ``taken``."""
    names = {str(name) for name in taken}
    return {f"{OURS}{name}" if name in names else name: one for name, one in columns.items()}


@contextmanager
def _needing(package: str) -> Iterator[None]:
    """Import ``package`` inside the block, or say that it is not installed."""
    try:
        yield
    except ModuleNotFoundError:
        method = "to_dataset" if package == "datasets" else f"to_{package}"
        raise MissingPackageError(
            f"{method} needs the package {package}; run: pip install {package}"
        ) from None
