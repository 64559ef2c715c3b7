"""Strings that a session's checkpoints keep."""

from __future__ import annotations

from . import _native
from .errors import NotFoundError


class Properties:
    """The strings that a session's checkpoints keep."""

    def __init__(self, session: _native.anet_session) -> None:
        self._session = session

    def __getitem__(self, key: str) -> str:
        try:
            return _native.anet_session_get_property(self._session, key)
        except NotFoundError as error:
            raise KeyError(key) from error

    def get(self, key: str, default: str | None = None) -> str | None:
        return self[key] if key in self else default

    def __contains__(self, key: str) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True

    def __setitem__(self, key: str, value: str) -> None:
        _native.anet_session_set_property(self._session, key, value)

    def __delitem__(self, key: str) -> None:
        self[key]
        _native.anet_session_set_property(self._session, key, None)
