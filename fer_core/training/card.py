"""Writes the figures of a model as the tables of its card; the card's prose is by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fer_core.records import EMOTIONS
from fer_core.training.evaluate import Report
from fer_core.training.metrics import ECE_BINS
from fer_core.training.zoo import HEADS


def figures(report: Report) -> str:
    """Return Markdown tables of the figures that ``export`` has measured."""
    parts = [_overall(report), _recall(report)]
    parts += [_confusion(head, report[head]["confusion"]) for head in HEADS]
    parts += [_thresholds(report["consensus"]), _alignment(report["alignment"])]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _overall(report: Report) -> str:
    heads = [report[head] for head in HEADS]

    def row(what: str, key: str, form: str) -> list[str]:
        return [what, *(format(of[key], form) if key in of else "–" for of in heads)]

    single = [format(report["single"][head]["accuracy"], ".2%") for head in HEADS]
    return f"Weights `{report['sha256'][:12]}`, {report['size_bytes'] / 1e6:.1f} MB.\n\n" + _table(
        ["validation part", *HEADS],
        [
            row("faces it is measured on", "faces", ",d"),
            row("accuracy", "accuracy", ".2%"),
            ["accuracy without flip averaging", *single],
            row("faces not also in the training part", "faces_without_duplicates", ",d"),
            row("accuracy on those", "accuracy_without_duplicates", ".2%"),
            row("macro-F1", "macro_f1", ".3f"),
            row("temperature", "temperature", ".3f"),
            row(f"ECE, {ECE_BINS} bins", "ece", ".3f"),
            row("ECE before calibration", "ece_before", ".3f"),
            row("mean divergence from the votes, nats", "divergence", ".3f"),
            row("the same before calibration", "divergence_before", ".3f"),
            row("ms per face, batches of 64, two cores", "ms_per_face", ".2f"),
        ],
    )


def _recall(report: Report) -> str:
    return "Recall:\n\n" + _table(
        ["class", *HEADS],
        [[name, *(f"{report[head]['recall'][name]:.1%}" for head in HEADS)] for name in EMOTIONS],
    )


def _confusion(head: str, counts: list[list[int]]) -> str:
    rows = [[name, *map(str, row)] for name, row in zip(EMOTIONS, counts, strict=True)]
    return f"Confusion of the {head} head (rows: truth; columns: found):\n\n" + _table(
        ["", *EMOTIONS], rows
    )


def _thresholds(consensus: Report) -> str:
    return "Keeping only faces whose top probability (consensus, calibrated) is at least …:\n\n" + (
        _table(
            ["top probability", "faces kept", "right among them"],
            [
                [f"{row['least']:g}", f"{row['kept']:.1%}", f"{row['accuracy']:.1%}"]
                for row in consensus["thresholds"]
            ],
        )
    )


def _alignment(alignment: Report) -> str:
    return (
        f"Alignment: of the first {alignment['faces']} pictures, enlarged fivefold, the detector "
        f"finds a face in {alignment['found']}; accuracy on those:\n\n"
        + _table(
            ["", *HEADS],
            [
                ["faces", *(str(alignment[head]["faces"]) for head in HEADS)],
                ["picture as it is", *(f"{alignment[head]['as_is']:.1%}" for head in HEADS)],
                ["cut out anew", *(f"{alignment[head]['aligned']:.1%}" for head in HEADS)],
            ],
        )
    )
