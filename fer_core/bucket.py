"""Object storage through fsspec: list, read, write, remove, and refusals in plain words.

The only room that knows fsspec. Where the storage is and who asks stands in the environment
(``AWS_ENDPOINT_URL_S3``, ``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE`` …), which is never read here: so it
cannot be told.
"""

# fsspec and s3fs have no types of their own.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from fer_core import stopping
from fer_core.address import bucket_and_key
from fer_core.errors import ConfigError, EnvironmentProblem, InputError, TransientError

_T = TypeVar("_T")

_AT_ONCE: Final = 200
_CONNECT_S: Final = 10
_READ_S: Final = 60
# Of a single request, below our own: for a server that asks to slow down.
_TRIES: Final = {"mode": "standard", "total_max_attempts": 3}
_WITHOUT_WAY_IN: Final = (
    "NoCredentialsError PartialCredentialsError CredentialRetrievalError ProfileNotFound "
    "TokenRetrievalError NoAuthTokenError SSOTokenLoadError UnauthorizedSSOTokenError"
).split()
_REFUSED: Final = "PreconditionFailed ConditionalRequestConflict NoSuchKey".split()


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as it is listed: size in bytes, ETag, time of its last change (s since 1970)."""

    size: int
    etag: str
    modified_s: float


class Bucket:
    """Everything below an address; names are relative to it, as POSIX paths.

    Every method asks again after a passing fault, and then raises ``TransientError``;
    ``EnvironmentProblem`` if access is refused, ``ConfigError`` if there is no such bucket.

    Args:
        url: ``s3://BUCKET`` or ``s3://BUCKET/FOLDER``.
        retries: further tries after a passing fault.
        delay_s: pause before the first of them; doubled for each further one.

    Raises:
        ConfigError: that is no address.
        EnvironmentProblem: the extra ``s3`` is not installed.
    """

    def __init__(self, url: str, *, retries: int = 0, delay_s: float = 0) -> None:
        self._bucket, self._below = bucket_and_key(url)
        self.url = "s3://" + "/".join(filter(None, (self._bucket, self._below)))
        self._retries, self._delay_s = retries, delay_s
        self._fs = _filesystem()

    def listed(self) -> dict[str, Listed]:
        """Return every object below the address, by name, in the order of their names."""
        found = self._ask(lambda: self._fs.find(self._path(), detail=True))
        return self._as_listed(found.values())

    def listed_here(self) -> dict[str, Listed]:
        """Return the objects directly below the address, none of its folders."""
        found = self._ask(lambda: self._fs.ls(self._path(), detail=True, refresh=True), [])
        return self._as_listed(found)

    def described(self, name: str = "") -> Listed | None:
        """Return an object as it is now; None if there is none."""
        found = self._ask(lambda: self._fs.info(self._path(name), refresh=True), None)
        return None if found is None or found["type"] != "file" else _as_one(found)

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return an object's bytes, and an ETag that is no newer than they; None if none is there.

        A ``swap`` against that ETag replaces these bytes or nothing.
        """
        before = self.described(name)
        data = self._ask(lambda: self._fs.cat_file(self._path(name)), None) if before else None
        return (data, before.etag) if before and data is not None else None

    def read_all(
        self, names: Iterable[str], refused: dict[str, EnvironmentProblem] | None = None
    ) -> Generator[tuple[str, bytes]]:
        """Yield the bytes of many objects, read side by side.

        Args:
            names: of the objects.
            refused: takes, by name, those that may not be read, with the reason; without it one of
                them is an error.

        Raises:
            TransientError: one of them went meanwhile.
        """
        wanted = list(names)
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            found: Any = self._ask(lambda some=some: self._contents(some, refused), None)
            if found is None:
                raise TransientError(
                    f"{self.url} changed while it was read.", hint="Run again in a minute."
                )
            yield from found

    def _contents(
        self, names: list[str], refused: dict[str, EnvironmentProblem] | None
    ) -> list[tuple[str, bytes]]:
        paths = [self._path(name) for name in names]
        # ``cat`` would take brackets, stars and question marks in a name for a pattern.
        found = self._fs.cat_ranges(paths, None, None, on_error="return")
        read: list[tuple[str, bytes]] = []
        for name, data in zip(names, found, strict=True):
            if not isinstance(data, Exception):
                read.append((name, data))
            elif refused is None or not (why := _refusal(self.url, data, _code(data))):
                raise data
            else:
                refused[name] = why
        return read

    def fetch(self, name: str, path: Path) -> None:
        """Copy an object into a file.

        Raises:
            InputError: there is none.
        """
        done = self._ask(lambda: self._fs.get_file(self._path(name), str(path)) or True, None)
        if done is None:
            raise InputError(
                f"{self.url}/{name} is there no more.", hint="It went while the run was on."
            )

    def write(self, name: str, data: bytes, kind: str = "application/octet-stream") -> str:
        """Write an object, whole or not at all; return its ETag.

        Args:
            name: of the object.
            data: its bytes.
            kind: media type, for whoever looks at it with a browser.
        """
        return self._put(name, data, ContentType=kind)

    def swap(self, name: str, data: bytes, etag: str | None) -> str | None:
        """Write an object only if it is still the one with that ETag, or still not there (None).

        Returns:
            The new ETag; None if somebody else was quicker.
        """
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            return self._put(name, data, **condition)
        except _NotMetError:
            # It may have been ourselves, before an answer that was lost.
            now = self.read(name)
            return now[1] if now and now[0] == data else None

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there are nothing to it."""
        wanted = [{"Key": self._key(name)} for name in names]
        for start in range(0, len(wanted), _AT_ONCE):
            self._ask(lambda some=wanted[start : start + _AT_ONCE]: self._delete(some))

    def _delete(self, some: list[dict[str, str]]) -> None:
        what = {"Objects": some, "Quiet": True}
        answer = self._fs.call_s3("delete_objects", Bucket=self._bucket, Delete=what)
        # The request succeeds (200) even where an object in it was refused.
        for refused in answer.get("Errors") or ():
            if refused.get("Code") != "NoSuchKey":
                raise _RefusedError(refused)

    def _put(self, name: str, data: bytes, **more: str) -> str:
        where = {"Bucket": self._bucket, "Key": self._key(name)}
        answer = self._ask(lambda: self._fs.call_s3("put_object", **where, Body=data, **more))
        return str(answer["ETag"])

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (self._below, name)))

    def _path(self, name: str = "") -> str:
        return "/".join(filter(None, (self._bucket, self._below, name)))

    def _as_listed(self, found: Iterable[dict[str, Any]]) -> dict[str, Listed]:
        start = len(self._path()) + 1
        # A key that ends in a slash is a console's idea of an empty folder.
        files = [one for one in found if one["type"] == "file" and not one["name"].endswith("/")]
        return {one["name"][start:]: _as_one(one) for one in sorted(files, key=lambda o: o["name"])}

    def _ask(self, what: Callable[[], _T], if_none: Any = ...) -> _T:
        """Do it, again after a passing fault; return ``if_none``, if given, where nothing is."""
        for attempt in range(self._retries + 1):
            try:
                with self._explained():
                    return what()
            except FileNotFoundError as error:
                if if_none is ...:
                    raise _NotMetError from error
                return if_none
            except TransientError:
                # A run that has to end does not wait.
                if attempt == self._retries or stopping.requested.wait(self._delay_s * 2**attempt):
                    raise
        raise AssertionError

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except Exception as error:
            told = self._in_words(error)
            if told is error:
                raise
            raise told from error

    def _in_words(self, error: Exception) -> Exception:
        code = _code(error)
        if code == "NoSuchBucket":
            return ConfigError(
                f"There is no bucket '{self._bucket}'.", hint="Make it, or correct the address."
            )
        if code in _REFUSED and not isinstance(error, FileNotFoundError):
            return _NotMetError()
        if isinstance(error, FileNotFoundError):
            return error
        return _access(self.url, error, code) or TransientError(
            f"The object storage of {self.url} does not answer as it should "
            f"({code or type(error).__name__}).",
            hint="Check the network and AWS_ENDPOINT_URL_S3; what is finished is kept.",
        )


class _NotMetError(Exception):
    """A condition of a write was not met."""


class _RefusedError(Exception):
    """An object of a request for many was refused; ``response`` says why, as botocore's do."""

    def __init__(self, why: dict[str, str]) -> None:
        super().__init__(why.get("Message", ""))
        self.response = {"Error": why}


def _access(url: str, error: Exception, code: str) -> EnvironmentProblem | None:
    """Say what keeps us out, if anything does."""
    name = type(error).__name__
    if name in _WITHOUT_WAY_IN:
        return EnvironmentProblem(
            f"No credentials were found for {url} ({name}).",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
        )
    if refusal := _refusal(url, error, code):
        return refusal
    if code == "NotImplemented":
        return EnvironmentProblem(
            f"{url} lacks something: conditional writes, most likely.",
            hint="Use S3, or a server that knows If-Match and If-None-Match.",
        )
    return None


def _refusal(url: str, error: Exception, code: str) -> EnvironmentProblem | None:
    """Say that something may not be done, while other things may be, perhaps."""
    if code == "InvalidObjectState":
        return EnvironmentProblem(
            f"{url} refuses to read an object that is archived ({code}).",
            hint="Restore it from the archive, or move it away.",
        )
    if isinstance(error, PermissionError) or code == "AccessDenied":
        return EnvironmentProblem(
            f"{url} refuses access ({code or 'access denied'}).",
            hint="Check the credentials (AWS_ACCESS_KEY_ID, …) and what they allow: to list, read, "
            "write and delete objects there.",
        )
    return None


def _code(error: Exception) -> str:
    """Return what the server called a fault; empty if it did not say anything."""
    for cause in (error, error.__cause__):
        answer = getattr(cause, "response", None)
        if isinstance(answer, dict):
            return str(answer.get("Error", {}).get("Code", ""))
    return ""


def _as_one(found: dict[str, Any]) -> Listed:
    return Listed(int(found["size"]), str(found["ETag"]), found["LastModified"].timestamp())


def _filesystem() -> Any:
    import fsspec

    # What it says of every try is for its makers.
    logging.getLogger("s3fs").setLevel(logging.CRITICAL)
    times = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S, "retries": _TRIES}
    try:
        # Others change what lies there: nothing listed before is taken for true.
        return fsspec.filesystem("s3", use_listings_cache=False, config_kwargs=times)
    except ImportError as error:
        raise EnvironmentProblem(
            "Object storage (s3://…) needs s3fs, which is not installed.",
            hint="Install it: python -m pip install 'lecturepulse[s3]'",
        ) from error
