"""What providers that compile or have streams hand to programs. The providers of this build do neither, so programs never meet one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Given:
    """Something that is only ever given by a provider."""

    def __init__(self, *_arguments: object, **_keywords: object) -> None:
        """Refuse: there is no constructor."""
        raise TypeError(f"{type(self).__name__}: No constructor defined!")

    @classmethod
    def _given(cls) -> Self:
        return cls.__new__(cls)


class OrtSyncStream(_Given):
    """The order in which a device does its work."""

    _handle: int

    def get_handle(self) -> int:
        """Give the handle of the stream, a number."""
        return self._handle


class OrtEpContextData(_Given):
    """What a provider compiled, to be written by a program; good as long as the call that it is given in."""

    _data: memoryview

    @classmethod
    def _over(cls, data: Buffer) -> Self:
        view = cls._given()
        view._data = memoryview(data).cast("B")
        return view

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self._data)

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Give a copy of `length` bytes from `offset` on, or of all that follow.

        Raises `IndexError` for a range that does not lie inside.
        """
        end = self.size if length is None else offset + length
        if not 0 <= offset <= end <= self.size:
            raise IndexError(f"bytes {offset} to {end} do not lie in {self.size} bytes")
        return bytes(self._data[offset:end])


class OrtEpContextDataBuffer(_Given):
    """Where a program puts what a provider compiled before; good as long as the call that it is given in."""

    _data: bytearray | None
    _most: int

    @classmethod
    def _of(cls, most: int) -> Self:
        buffer = cls._given()
        buffer._data, buffer._most = None, most
        return buffer

    @property
    def max_size(self) -> int:
        """The most bytes that there may be."""
        return self._most

    @property
    def is_allocated(self) -> bool:
        """Whether there is room already."""
        return self._data is not None

    @property
    def size(self) -> int:
        """The number of bytes; 0 before there is room."""
        return 0 if self._data is None else len(self._data)

    def allocate(self, size: int) -> None:
        """Make room for `size` bytes, once.

        Raises `RuntimeError` the second time, and for more than `max_size`.
        """
        if self._data is not None:
            raise RuntimeError("the buffer is allocated already")
        if not 0 <= size <= self._most:
            raise RuntimeError(f"{size} bytes are asked for, and there may be {self._most}")
        self._data = bytearray(size)

    def write(self, data: Buffer, offset: int = 0) -> None:
        """Put `data` into the room, from `offset` on.

        Raises `RuntimeError` before there is room, `IndexError` for a range that does not lie inside.
        """
        if self._data is None:
            raise RuntimeError("the buffer is not allocated")
        piece = memoryview(data).cast("B")
        if not 0 <= offset <= len(self._data) - len(piece):
            raise IndexError(f"{len(piece)} bytes at {offset} do not lie in {len(self._data)} bytes")
        self._data[offset : offset + len(piece)] = piece


class SessionObjectInitializer(_Given):
    """What native sessions were once made with; nothing depends on it."""


def get_session_initializer() -> SessionObjectInitializer:
    """Give the one that stands for defaults."""
    return SessionObjectInitializer._given()
