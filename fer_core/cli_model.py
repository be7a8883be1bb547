"""The commands about expression models: train, evaluate, calibrate, export, list, card.

Parses, calls ``training``, prints. Heavy imports happen inside the commands.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from fer_core.errors import ConfigError
from fer_core.records import EMOTIONS
from fer_core.training import import_keras
from fer_core.training.recipe import Recipe

if TYPE_CHECKING:
    from fer_core.training.evaluate import Measures

app = App(
    name="model",
    help="Train, measure and publish expression models.",
    help_format="plaintext",
)

_DEFAULT = Recipe()

Data = Annotated[
    Path,
    Parameter(
        help="Labelled faces: a folder of Parquet files, fer2013.csv (with fer2013new.csv beside "
        "it), or Kaggle's archive.zip or folder."
    ),
]
Part = Literal["train", "valid", "test"]
Runtime = Literal["litert", "onnx", "keras"]
Json = Annotated[bool, Parameter(help="Print every figure as JSON.", negative=())]
Models = Annotated[Path, Parameter(help="Folder of the published models.")]


@app.command(name="train", help_format="markdown")
def train_model(
    name: Annotated[
        str, Parameter(help="lecturenet, lecturenet_small, custom_cnn, resnet50 or deepface.")
    ],
    /,
    *,
    data: Data,
    out: Annotated[
        Path | None, Parameter(help="Folder of checkpoint, model and log. Default: training/NAME.")
    ] = None,
    recipe: Annotated[Recipe, Parameter(name="*")] = _DEFAULT,
    teacher: Annotated[
        tuple[str, ...],
        Parameter(
            help="A model to learn from as well: its name, or a .keras file. Of several, given one "
            "after another, the mean.",
            negative=(),
        ),
    ] = (),
    start: Annotated[
        Path | None, Parameter(help="First weights: a .keras file, or ImageNet's .h5 (resnet50).")
    ] = None,
    minutes: Annotated[
        float | None, Parameter(help="Stop after the epoch that passes this; go on another time.")
    ] = None,
) -> int:
    """Train a model, or go on with a training: the same command continues."""
    import_keras()
    from fer_core import terminal
    from fer_core.training import dataset, evaluate, zoo
    from fer_core.training import train as training

    zoo.check(name)
    opened = [evaluate.open_model(each) for each in teacher]
    teachers = [
        training.Teacher(f"{asset.name} {asset.sha256[:12]}", classifier.logits)
        for asset, classifier in opened
    ]
    faces = dataset.read_dataset(data)
    for sentence in faces.overlaps():
        terminal.line(sentence)
    learn, choose = faces.part("train"), faces.part("valid")
    if not learn.has_votes:
        terminal.line("No FER+ votes here: both heads learn FER2013's labels.")
    folder = out or Path("training") / name
    terminal.line(f"{name}: {len(learn):,} faces to learn from, {len(choose):,} to measure on")
    with terminal.watching("Training", "steps"):
        training.train(
            name, learn, choose, folder, recipe, start=start, teachers=teachers, minutes=minutes
        )
    terminal.line(f"Model: {folder / name}.keras")
    terminal.line(f"Log:   tensorboard --logdir {folder / 'tensorboard'}")
    return 0


@app.command(name="evaluate")
def evaluate_model(
    name: Annotated[
        str, Parameter(help="A published model, deepface-package, or a .keras file of a training.")
    ],
    /,
    *,
    data: Data,
    part: Annotated[
        Part | None, Parameter(help="Part to measure on. Default: test if it is there, else valid.")
    ] = None,
    runtime: Annotated[Runtime | None, Parameter(help="What runs it. Default: as the job.")] = None,
    weights: Annotated[Path | None, Parameter(help="Weights file of deepface-package.")] = None,
    plot: Annotated[Path | None, Parameter(help="Draw the reliability diagram: an SVG.")] = None,
    json: Json = False,
) -> int:
    """Measure a model on labelled faces, each of them and its mirror image."""
    import_keras()
    from fer_core import terminal
    from fer_core.training import dataset, reliability
    from fer_core.training import evaluate as measuring

    opened = measuring.open_model(name, runtime=runtime, weights=weights)
    faces = dataset.read_dataset(data, part)
    chosen = part or ("test" if "test" in faces.parts else "valid")
    report = measuring.evaluate(opened, faces.part(chosen)) | {"part": chosen}
    report["notes"] = faces.overlaps()
    if plot is not None:
        drawn = reliability.reliability_svg(opened[0].name, {"": report}, chosen)
        try:
            plot.write_text(drawn, encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{plot} cannot be written: {error.strerror}.", hint="Give another --plot."
            ) from error
    if json:
        import json as json_module

        sys.stdout.write(json_module.dumps(report, indent=2, allow_nan=False) + "\n")
        return 0
    for sentence in report["notes"]:
        terminal.line(sentence)
    terminal.line(f"Part: {chosen}")
    _tell(report)
    return 0


def _tell(report: Measures) -> None:
    from fer_core import terminal
    from fer_core.training.evaluate import as_text

    for row in as_text(report).split("\n"):
        terminal.line(row)


@app.command(name="export")
def export_model(
    weights: Annotated[Path, Parameter(help="The .keras file of a training.")],
    /,
    *,
    data: Data,
    models: Models = Path("models"),
) -> int:
    """Publish a trained model: quantise, calibrate, measure, and write manifest and card."""
    import_keras()
    from fer_core import terminal
    from fer_core.training import dataset
    from fer_core.training import export as publishing

    if not models.is_dir():
        raise ConfigError(f"There is no folder {models}.", hint="Name it with --models.")
    faces = dataset.read_dataset(data)
    reports = publishing.export(
        weights,
        faces.part("train"),
        faces.part("valid"),
        models,
        say=terminal.line,
    )
    for report in reports.values():
        _tell(report)
    return 0


@app.command(name="calibrate")
def calibrate_model(
    name: Annotated[str, Parameter(help="A published model.")],
    /,
    *,
    data: Data,
) -> int:
    """Calibrate a published model anew, on faces it did not learn from, and measure it again."""
    import_keras()
    from fer_core import terminal
    from fer_core.training import dataset
    from fer_core.training import export as publishing

    faces = dataset.read_dataset(data)
    for sentence in faces.overlaps():
        terminal.line(sentence)
    found = publishing.calibrate(name, faces.part("valid"), say=terminal.line)
    for runtime, heads in found.items():
        for head, better in heads.items():
            offsets = ", ".join(
                f"{emotion} {value:+.2f}"
                for emotion, value in zip(EMOTIONS, better.offset, strict=True)
                if value
            )
            terminal.line(
                f"{name} {runtime} {head}: temperature {better.temperature}"
                + (f", offsets {offsets}" if offsets else "")
            )
    return 0


@app.command(name="list")
def list_models() -> int:
    """List the published models: files, sizes, accuracy on the validation part."""
    from fer_core import assets, terminal

    listed = assets.manifest()
    for name, entry in listed["models"].items():
        mark = "  (default)" if name == listed["default"] else ""
        terminal.line(f"{name}{mark}")
        for runtime, metrics in entry["metrics"].items():
            file = entry["files"].get(runtime)
            size = f"{file['size_bytes'] / 1e6:.1f} MB" if file else "not shipped"
            scores = ", ".join(f"{head} {of['accuracy']:.2%}" for head, of in metrics.items())
            first = next(iter(metrics.values()))
            speed = f"{first['ms_per_face']:.2f} ms a face"
            speed += " " if first.get("int8_instructions") else "*"
            terminal.line(f"  {runtime:<7} {size:>11}  {speed} {scores}")
    terminal.line("* on a processor without 8-bit instructions, which does not compare with others")
    terminal.line(f"{assets.DEEPFACE}  (the deepface package's model; weights not shipped)")
    return 0


@app.command(name="card")
def print_card() -> int:
    """Print the model card."""
    from fer_core import assets

    sys.stdout.write(assets.model_card())
    return 0
