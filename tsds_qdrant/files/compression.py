"""File suffixes, and the gzip and Zstandard streams that some of them stand for."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

COMPRESSIONS = (".gz", ".zst")
_CHUNK = 1 << 18
_FIRST_CHUNK = 1 << 9
_LEAST_CHUNK = 1 << 6
_MAX_WINDOW = 1 << 31
"""Accept ``zstd --long=31``, which large public text dumps use."""


def split_suffix(path: Path) -> tuple[str, str, str]:
    """Split a file name: ``sel.v2.jsonl.gz`` -> ``("sel.v2", ".jsonl", ".gz")``, case kept."""
    stem, compression = path.name, ""
    if path.suffix.lower() in COMPRESSIONS:
        stem, compression = path.stem, path.suffix
    kind = Path(stem).suffix
    return stem.removesuffix(kind), kind, compression


@contextmanager
def decompressed(stream: BinaryIO, compression: str) -> Iterator[BinaryIO]:
    """Give the plain bytes of ``stream``; ``compression`` is ``""``, ``".gz"`` or ``".zst"``.

    Reading raises EOFError where the compressed bytes end too early, and OSError or zlib.error
    where they are no such format.
    """
    if compression == ".gz":
        with gzip.GzipFile(fileobj=stream, mode="rb") as plain:
            yield cast(BinaryIO, plain)
    elif compression == ".zst":
        with io.BufferedReader(_ZstdReader(stream), _CHUNK) as plain_zst:
            yield cast(BinaryIO, plain_zst)
    else:
        yield stream


@contextmanager
def compressed(stream: BinaryIO, compression: str) -> Iterator[BinaryIO]:
    """Give a writer that compresses into ``stream``: equal input gives equal bytes."""
    if compression == ".gz":
        with gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as plain:
            yield cast(BinaryIO, plain)
    elif compression == ".zst":
        from zstandard import ZstdCompressor

        with ZstdCompressor().stream_writer(stream, closefd=False) as plain_zst:
            yield cast(BinaryIO, plain_zst)
    else:
        yield stream


class _ZstdReader(io.RawIOBase):
    """The plain bytes of one or more Zstandard frames.

    zstandard's own ``stream_reader`` takes a truncated frame for the end of the file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        from zstandard import ZstdDecompressor, ZstdError

        self._error: type[Exception] = ZstdError
        self._stream = stream
        self._decompressor = ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._frame: Any = None
        self._rest = b""
        self._ready = memoryview(b"")
        self._size = _FIRST_CHUNK

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = self._rest or self._stream.read(self._size)
            if not chunk:
                if self._frame is not None:
                    raise EOFError("the Zstandard frame is cut off")
                return 0
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            try:
                self._rest, self._ready = b"", memoryview(self._frame.decompress(chunk))
            except self._error as error:
                raise OSError(str(error)) from None
            # Text may shrink a thousandfold: read about as much as fills one chunk of output.
            fitting = len(chunk) * _CHUNK // max(1, len(self._ready))
            self._size = min(max(fitting, _LEAST_CHUNK), 2 * self._size, _CHUNK)
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count
