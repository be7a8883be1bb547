"""Every error lecturepulse raises on purpose, and how those of others are quoted in them.

::

    LecturePulseError            one sentence, and a hint that says what to do
    ├── ConfigError              settings or command line are wrong             exit 2
    ├── PolicyError              the deployment may not do this (jurisdiction)  exit 2
    ├── EnvironmentProblem       the machine lacks something                    exit 3
    │   ├── AssetMissing         weights or templates are not there
    │   └── AssetCorrupt         … or are not the ones that were published
    ├── InputError               this recording cannot be read; never retried   exit 1
    │   └── Gone                 what is asked for is not there (any more)
    ├── QuestionError            a question to the tables is wrong              exit 2
    ├── TransientError           may work a minute later; retried               exit 1
    │   ├── Unseen               a worker elsewhere has no such file; another may
    │   └── Busy                 there is as much to do as the machine may take
    └── StoreError               the dataset cannot be written or read          exit 3

``InputError`` and ``TransientError`` concern one recording: the night goes on without it.
"""

import errno
import textwrap
from typing import Any, ClassVar, Final

PASSING: Final = frozenset(
    {
        errno.EAGAIN,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOTCONN,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""What the system says when the machine, its disk or its network has trouble, not the file."""


class LecturePulseError(Exception):
    """The root: one clear sentence for a person, and a hint.

    Args:
        message: what happened, one sentence, naming the file or setting.
        hint: what the reader can do about it.
        detail: what a log should hold besides, such as a decoder's last words.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail

    # Errors cross process borders (workers, Prefect results); the default protocol would call
    # ``cls(*args)`` and lose every keyword-only extra.
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__.copy())


def _rebuild(kind: type[LecturePulseError], state: dict[str, Any]) -> LecturePulseError:
    error = kind(state["message"], hint=state["hint"])
    error.__dict__.update(state)
    return error


class ConfigError(LecturePulseError):
    """A setting, a flag or the command line is wrong."""

    exit_code = 2
    code = "config"


class PolicyError(LecturePulseError):
    """The deployment's jurisdiction or privacy settings do not allow this."""

    exit_code = 2
    code = "policy"


class EnvironmentProblem(LecturePulseError):
    """The machine lacks something lecturepulse needs."""

    exit_code = 3
    code = "environment"


class AssetMissing(EnvironmentProblem):
    """A file that belongs to lecturepulse (weights, template) is not installed."""

    code = "asset-missing"


class AssetCorrupt(EnvironmentProblem):
    """A file that belongs to lecturepulse is not the one that was published."""

    code = "asset-corrupt"


class InputError(LecturePulseError):
    """This recording cannot be read, today or tomorrow; the others can."""

    code = "input"


class Gone(InputError):
    """What is asked for has ended, or never was."""

    code = "gone"


class QuestionError(LecturePulseError):
    """A question to the tables is wrong, or its answer cannot be shown."""

    exit_code = 2
    code = "question"


class TransientError(LecturePulseError):
    """Something that may work a minute later; worth a retry."""

    code = "transient"


class Unseen(TransientError):
    """A worker on another machine does not see what its conductor sees.

    Args:
        message, hint, detail: as of every error.
        worker: address of the worker.
    """

    code = "unseen"

    def __init__(self, message: str, *, hint: str = "", detail: str = "", worker: str = "") -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.worker = worker


class Busy(TransientError):
    """There is as much to do as the machine may take.

    Args:
        message, hint, detail: as of every error.
        retry_after_s: when to ask again, seconds.
    """

    code = "busy"

    def __init__(
        self, message: str, *, hint: str = "", detail: str = "", retry_after_s: int = 1
    ) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.retry_after_s = retry_after_s


class StoreError(LecturePulseError):
    """The dataset cannot be written or read."""

    exit_code = 3
    code = "store"


def in_short(error: Exception) -> str:
    """Return what a library says of an error: its first line, cut, without a full stop."""
    lines = str(error).strip().splitlines() or [repr(error)]
    return textwrap.shorten(lines[0], 200, placeholder="…").rstrip(".")
