"""What computes a model."""

from __future__ import annotations

from typing import Literal

from tsds_qdrant.errors import SettingsError

Backend = Literal["torch", "onnx", "openvino"]
BACKENDS: tuple[Backend, ...] = ("torch", "onnx", "openvino")


def backend_of(text: str, flag: str) -> Backend:
    """The backend of that name.

    Raises:
        SettingsError: there is none.
    """
    for backend in BACKENDS:
        if text == backend:
            return backend
    raise SettingsError(f"{flag} is '{text}'; choose one of {', '.join(BACKENDS)}")
