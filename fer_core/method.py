"""What the last section says: how it was computed, how often that is right, from which file.

Values and sentences only, like the other ``sections``.
"""

from __future__ import annotations

from typing import Any

from fer_core import assets
from fer_core.sections import Pairs
from fer_core.story import Story, weights_of


def method(story: Story) -> dict[str, Any]:
    """Return formula, weights, provenance and how to get at the tables."""
    facts, words = story.facts, story.words
    weights = weights_of(story)
    names = words.table("emotions")
    variant = str(facts.get("engagement_variant") or "expression")
    least = str(facts.get("min_group") or 1)
    recording_id = str(facts.get("recording_id") or "")
    limits = (
        ["visible", "facing"]
        if story.presence
        else ["feelings", "learning", "uneven", "visible", "best", "small"]
    )
    return {
        "formula": [words("method.formula_presence")]
        if story.presence
        else [words("method.formula"), words("method.formula_second", n=least)],
        "variant": words.table("method").get(f"variant_{variant}", variant),
        "weights": [
            (names[name], words.about(0) if not weight else f"{weight:g}")
            for name, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0]))
        ],
        "limits": [words(f"method.limit_{name}") for name in limits],
        "accuracy": _accuracy(story),
        "provenance": _provenance(story),
        # Nobody gets at tables that are deleted within the hour.
        "path": "" if story.gone_at else f"tables/seconds/*/*/{recording_id}.parquet",
        "query": words(
            "method.query_presence" if story.presence else "method.query_command", id=recording_id
        ),
    }


def _accuracy(story: Story) -> str:
    """Return what the published measurement of this very model file says about its errors."""
    words, sha256 = story.words, story.facts.get("model_sha256")
    measured = assets.published_figures(str(sha256)) if sha256 else None
    if measured is None:
        return "" if story.presence else words("method.accuracy_unknown")
    return words(
        "method.accuracy_value",
        accuracy=words.percent(measured["accuracy_without_duplicates"]),
        faces=words.whole(measured["faces"]),
        small=words.percent(measured["by_size"]["24"]),
        ece=f"{measured['ece']:.3f}",
        neutral_sad=words.percent(measured["neutral_sad"]),
    )


def _kept_until(story: Story) -> str:
    if story.gone_at:
        return story.words("method.retention_gone", at=story.words.date(story.gone_at))
    return (
        story.kept_until.isoformat() if story.kept_until else story.words("method.retention_none")
    )


def _provenance(story: Story) -> Pairs:
    facts, words = story.facts, story.words

    def sha(name: str) -> str:
        return words("method.sha", sha=facts.get(name) or words("units.nothing"))

    model, unknown = facts.get("model"), words("units.nothing")
    size = words("method.source_bytes", n=words.whole(facts.get("source_bytes") or 0))
    source, decoder = f"{size}, {sha('source_sha256')}", facts.get("ffmpeg_version") or unknown
    if live := facts.get("container") == "live":
        source = words("method.source_live")
    return [
        (
            words("method.model"),
            f"{model}, {sha('model_sha256')}" if model else words("method.model_none"),
        ),
        (words("method.detector"), f"{words('method.detector_value')}, {sha('detector_sha256')}"),
        (words("method.source"), source),
        (words("method.retention"), _kept_until(story)),
        (words("method.settings"), str(facts.get("settings_hash") or unknown)),
        (words("method.schema"), words("method.schema_value", n=str(facts.get("schema_version")))),
        (words("method.version"), str(facts.get("version") or unknown)),
        *([] if live else [(words("method.decoder"), f"ffmpeg {decoder}")]),
    ]
