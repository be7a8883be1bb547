"""What a recording's age counts from; how long anything is kept is ``retention``'s business."""

from __future__ import annotations

from datetime import UTC, date, datetime


def made_on(
    started_at: datetime | None, modified_s: float, read_at: datetime | None = None
) -> date:
    """Return the day a recording's age counts from: its start, or else its file's time.

    Args:
        started_at: its start, UTC; None if that is not known.
        modified_s: its file's time, seconds since 1970.
        read_at: when it was read, UTC; None for now.
    """
    made = started_at or datetime.fromtimestamp(modified_s, UTC)
    # A camera's clock may be years ahead: nothing was made after it was read.
    return min(made.date(), (read_at or datetime.now(UTC)).date())


def days_since(made: date, now: datetime | None = None) -> int:
    """Return how many days ago a day was, by UTC."""
    return ((now or datetime.now(UTC)).date() - made).days
