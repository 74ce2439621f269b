"""Secret: a value that neither prints nor pickles, so that it cannot reach a log by accident."""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Secret(Generic[T_co]):
    """A password, PIN or private key; only `reveal()` gives it out.

    `repr` and `str` are redacted, and pickling and copying are refused: a traceback that shows
    local variables, a log line or a dump of the plan then holds nothing worth stealing.
    """

    __slots__ = ("__value",)

    def __init__(self, value: T_co) -> None:
        self.__value = value

    def reveal(self) -> T_co:
        """The value itself; call it at the last moment and do not keep the result."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied")
