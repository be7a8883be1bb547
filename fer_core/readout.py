"""The values behind the cursor of a lecture's charts, as the page's script reads them."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from fer_core.story import Story, state_name
from fer_core.summary import GROUPS, STATES, smooth
from fer_core.svg import FloatArray

# As wide as a row of the tables in a lecture of up to half an hour, so that both say the same.
_AROUND_S: Final = 10


def readout(story: Story, step_s: int) -> dict[str, Any]:
    """Return the values behind the cursor, with the strings to read them out in.

    People and state are those of a second, the rest are means of the 10 s around it; the index
    and facing are in hundredths, shares as they are written. None where there is no value.

    Args:
        story: the lecture.
        step_s: seconds from one stop of the slider to the next.
    """
    words, lecture = story.words, story.lecture
    names = words.table("groups")

    def around(name: str) -> FloatArray:
        return smooth(getattr(lecture, name), _AROUND_S)[::step_s]

    people = np.where(lecture.looked_at(), lecture.faces, math.nan)[::step_s]
    series: list[dict[str, Any]] = [
        {"name": words("timeline.people"), "values": _whole(people), "scale": 1}
    ]
    if story.presence:
        series.append(_mean(words("timeline.axis_facing"), around("facing")))
    else:
        ends = {end: _whole(100 * around(end)) for end in ("low", "high")}
        series.append(_mean(words("timeline.axis"), around("engagement")) | ends)
        shares = around("groups")
        series += [
            {
                "name": names[name],
                "values": [
                    None if math.isnan(share) else words.hundredths(share) for share in shares[:, i]
                ],
                "share": True,
                "mean": True,
            }
            for i, name in enumerate(GROUPS)
        ]
    return {
        "seconds": len(lecture),
        "step": step_s,
        "states": [state_name(story, state) for state in STATES],
        "state": lecture.state[::step_s].tolist(),
        "series": series,
        "link": story.link,
        "words": {
            "range": words("units.range", low="{low}", high="{high}"),
            "percent": words("units.percent", n="{n}"),
            "list": words("units.list"),
            "mean": words("page.scrub_mean", n=str(_AROUND_S)),
        },
    }


def _mean(name: str, values: FloatArray) -> dict[str, Any]:
    return {"name": name, "values": _whole(100 * values), "scale": 100, "mean": True}


def _whole(values: FloatArray) -> list[int | None]:
    return [None if math.isnan(value) else round(value) for value in values]
