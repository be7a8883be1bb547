"""Writes the figures of the models into their card; the card's prose is by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fer_core.records import EMOTIONS
from fer_core.training.evaluate import Measures, Reports, shown
from fer_core.training.faces import HEADS
from fer_core.training.metrics import ECE_BINS

_RUNTIME_WORDS = {
    "litert": "int8, LiteRT",
    "onnx": "int8, ONNX Runtime",
    "keras": "float32, Keras",
}


def filled(text: str, listed: Mapping[str, Any], name: str, reports: Reports) -> str:
    """Return the card with its marked regions written anew.

    Args:
        text: the card. ``<!-- models -->`` opens the table of all models, ``<!-- figures -->``
            the figures of the default one; ``<!-- /… -->`` closes them.
        listed: the manifest.
        name: the model that has been measured.
        reports: its reports; empty if it was not measured.
    """
    text = _region(text, "models", _models(listed["models"]))
    if reports and name == listed["default"]:
        text = _region(text, "figures", _figures(name, reports))
    return text


def _region(text: str, mark: str, content: str) -> str:
    inside = re.compile(rf"(?<=<!-- {mark} -->\n).*(?=<!-- /{mark} -->)", re.DOTALL)
    return inside.sub(lambda _: content, text)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _models(models: Mapping[str, Any]) -> str:
    head = ["model", "runs as", "MB", "ms per face", "8-bit instructions"]
    head += [f"{head}: {what}" for head in HEADS for what in ("accuracy", "macro-F1", "ECE")]
    rows: list[list[str]] = []
    for name, entry in models.items():
        for runtime, metrics in entry["metrics"].items():
            file = entry["files"].get(runtime)
            any_head = next(iter(metrics.values()))
            row = [f"`{name}`", _RUNTIME_WORDS[runtime]]
            row += [f"{file['size_bytes'] / 1e6:.1f}" if file else "not shipped"]
            row += [shown(any_head["ms_per_face"], ".2f")]
            row += ["yes" if any_head.get("int8_instructions") else "no"]
            for each in HEADS:
                figures = metrics.get(each, {})
                row += [
                    shown(figures.get("accuracy"), ".2%"),
                    shown(figures.get("macro_f1"), ".3f"),
                ]
                row += [shown(figures.get("ece"), ".3f")]
            rows.append(row)
    return _table(head, rows) + "\n"


def _figures(name: str, reports: Reports) -> str:
    first = next(iter(reports.values()))
    hashes = ", ".join(f"`{report['sha256'][:12]}` ({key})" for key, report in reports.items())
    parts = [f"Weights {hashes}.", _overall(reports), f"![Reliability](reliability-{name}.svg)"]
    parts += ["What follows is of the first of them.", _recall(first)]
    parts += [_confusion(head, first[head]["confusion"]) for head in HEADS]
    parts += [_thresholds(first["consensus"]), _alignment(first["alignment"])]
    return "\n\n".join(parts) + "\n"


def _overall(reports: Reports) -> str:
    columns = [(head, key) for head in HEADS for key in reports]

    def row(what: str, key: str, form: str) -> list[str]:
        return [what, *(shown(reports[runtime][head].get(key), form) for head, runtime in columns)]

    disgust = EMOTIONS.index("disgust")
    sizes = next(iter(reports.values()))[HEADS[0]]["by_size"]
    return _table(
        ["validation part", *(f"{head}, {key}" for head, key in columns)],
        [
            row("faces it is measured on", "faces", ",d"),
            row("accuracy", "accuracy", ".2%"),
            [
                "accuracy without flip averaging",
                *(f"{reports[key]['single'][head]['accuracy']:.2%}" for head, key in columns),
            ],
            row("faces not also in the training part", "faces_without_duplicates", ",d"),
            row("accuracy on those", "accuracy_without_duplicates", ".2%"),
            *(
                [
                    f"accuracy, faces {size} px high",
                    *(f"{reports[key][head]['by_size'][size]:.2%}" for head, key in columns),
                ]
                for size in sizes
            ),
            row("macro-F1", "macro_f1", ".3f"),
            row("neutral and sad taken for each other", "neutral_sad", ".1%"),
            row("temperature", "temperature", ".3f"),
            [
                "offset of disgust",
                *(f"{reports[key][head]['offset'][disgust]:+.2f}" for head, key in columns),
            ],
            row(f"ECE, {ECE_BINS} bins", "ece", ".3f"),
            row("ECE before calibration", "ece_before", ".3f"),
            row("mean divergence from the votes, nats", "divergence", ".3f"),
            row("the same before calibration", "divergence_before", ".3f"),
            row("ms per face, batches of 64, two cores", "ms_per_face", ".2f"),
        ],
    )


def _recall(report: Measures) -> str:
    return "Recall:\n\n" + _table(
        ["class", *HEADS],
        [
            [name, *(shown(report[head]["recall"][name], ".1%") for head in HEADS)]
            for name in EMOTIONS
        ],
    )


def _confusion(head: str, counts: list[list[int]]) -> str:
    rows = [[name, *map(str, row)] for name, row in zip(EMOTIONS, counts, strict=True)]
    return f"Confusion of the {head} head (rows: truth; columns: found):\n\n" + _table(
        ["", *EMOTIONS], rows
    )


def _thresholds(consensus: Measures) -> str:
    return "Keeping only faces whose top probability (consensus, calibrated) is at least …:\n\n" + (
        _table(
            ["top probability", "faces kept", "right among them"],
            [
                [f"{row['least']:g}", f"{row['kept']:.1%}", shown(row["accuracy"], ".1%")]
                for row in consensus["thresholds"]
            ],
        )
    )


def _alignment(alignment: Measures) -> str:
    return (
        f"Alignment: of the first {alignment['faces']} pictures, enlarged fivefold, the detector "
        f"finds a face in {alignment['found']}; accuracy on those:\n\n"
        + _table(
            ["", *HEADS],
            [
                ["faces", *(str(alignment[head]["faces"]) for head in HEADS)],
                ["picture as it is", *(shown(alignment[head]["as_is"], ".1%") for head in HEADS)],
                ["cut out anew", *(shown(alignment[head]["aligned"], ".1%") for head in HEADS)],
            ],
        )
    )
