"""What a recording or a dataset is called: its id, its address ``s3://BUCKET/KEY``; text only.

A recording of object storage has a copy below its dataset's folder while it is worked on. Its
tables name the address, which is the same on every machine.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from fer_core.errors import ConfigError

INBOX: Final = "inbox"
"""Folder of a dataset that holds copies of recordings, and of what lies beside them."""

_SCHEME: Final = "s3://"
_ID: Final = re.compile(r"[0-9a-f]{16}")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


def id_of(sha256: str) -> str:
    """Return the id of the recording whose content has this hash."""
    return sha256[:16]


def is_id(text: str) -> bool:
    """Say whether a text may be the id of a recording, of whatever kind."""
    return _ID.fullmatch(text) is not None


def is_url(text: object) -> bool:
    """Say whether a path is the address of something in object storage."""
    return isinstance(text, str) and text.lower().startswith(_SCHEME)


def bucket_and_key(url: str) -> tuple[str, str]:
    """Return the two parts of an address; the key without slashes at its ends, perhaps empty.

    Raises:
        ConfigError: it is none.
    """
    bucket, _, key = url[len(_SCHEME) :].partition("/")
    if "@" in bucket:  # not shown: what stands before may be a password
        raise ConfigError(
            "An s3:// address must hold no credentials.",
            hint="Give them in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a "
            "profile (AWS_PROFILE).",
        )
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(
            f"{url!r} names no bucket.", hint="Write it as s3://BUCKET or s3://BUCKET/FOLDER."
        )
    return bucket, key.strip("/")


def absolute_or_url(text: str) -> str:
    """Return a path that holds in another working folder, too; an address as it is."""
    return text if is_url(text) else str(Path(text).expanduser().absolute())


def address_of(path: Path, root: Path) -> str:
    """Return what the tables call a recording: its path, or the address of which it is a copy.

    Args:
        path: of the recording, absolute, without links.
        root: folder of the dataset.
    """
    inbox = root.resolve() / INBOX  # paths of recordings are, too
    if path.is_relative_to(inbox):
        return _SCHEME + path.relative_to(inbox).as_posix()
    return str(path)


def path_of(address: str, root: Path) -> Path:
    """Return where a recording that the tables name lies, or the copy of it would."""
    if is_url(address):
        return root.resolve() / INBOX / address[len(_SCHEME) :]
    return Path(address)
