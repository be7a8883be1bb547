"""The values behind the cursor of a lecture's charts, as the page's script reads them."""

from __future__ import annotations

import math
from typing import Any

from fer_core.story import Story, state_name
from fer_core.summary import GROUPS, STATES, Columns
from fer_core.svg import FloatArray


def readout(story: Story, columns: Columns) -> dict[str, Any]:
    """Return the values behind the cursor, with the strings to read them out in.

    Engagement and shares are in hundredths, None where there is no value.
    """
    words = story.words
    names = words.table("groups")
    series: list[dict[str, Any]] = [_series(words("timeline.people"), columns.people, 1)]
    if story.presence:
        series.append(_series(words("timeline.axis_facing"), columns.facing, 100))
    else:
        series.append(
            _series(words("timeline.axis"), columns.calm, 100)
            | {"low": _hundredths(columns.low, 100), "high": _hundredths(columns.high, 100)}
        )
        series += [
            _series(names[name], columns.groups[:, i], 100) | {"share": True}
            for i, name in enumerate(GROUPS)
        ]
    return {
        "seconds": columns.seconds,
        "step": columns.step_s,
        "states": [state_name(story, state) for state in STATES],
        "state": columns.state.tolist(),
        "series": series,
        "link": story.link,
        "words": {
            "range": words("units.range", low="{low}", high="{high}"),
            "percent": words("units.percent", n="{n}"),
            "list": words("units.list"),
        },
    }


def _series(name: str, values: FloatArray, scale: int) -> dict[str, Any]:
    return {"name": name, "values": _hundredths(values, scale), "scale": scale}


def _hundredths(values: FloatArray, scale: int) -> list[float | None]:
    digits = None if scale > 1 else 1
    return [None if math.isnan(value) else round(value * scale, digits) for value in values]
