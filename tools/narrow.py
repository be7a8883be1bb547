"""Makes first weights of a narrower ``lecturenet`` out of a wider one, for ``model train --start``.

Of every group of channels those are kept that matter most to what reads them: the standard
deviation of a channel over some faces, times the norm of the weights that it meets next.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray

from fer_core.training import dataset, zoo

Kept = NDArray[np.intp]
FACES = 1024


def in_order(model: Any, kind: type) -> list[Any]:
    """Return a model's layers of one kind as they were made; Keras numbers their names so."""

    def number(layer: Any) -> int:
        found = re.search(r"_(\d+)$", layer.name)
        return int(found[1]) if found else 0

    return sorted((layer for layer in model.layers if type(layer) is kind), key=number)


def spread(model: Any, layers: list[Any], faces: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return each channel's standard deviation at the output of some layers."""
    reader: Any = keras.Model(model.input, [layer.output for layer in layers])
    seen: list[NDArray[np.float32]] = reader.predict(faces, batch_size=64, verbose=0)
    return [np.std(values, axis=(0, 1, 2)) for values in seen]


def most(score: NDArray[np.float32], count: int) -> Kept:
    """Return where the greatest scores are, in their order."""
    return np.sort(np.argsort(-score, kind="stable")[:count])


def reach(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the norm of the weights that each incoming channel meets."""
    return np.sqrt(np.square(kernel).sum(axis=(0, 1, 3)))


def blocks_of(convs: list[Any]) -> list[list[int]]:
    """Return each block's convolutions: two, two of its gate, and perhaps its shortcut's."""
    blocks: list[list[int]] = []
    at = 1  # after the stem
    while at < len(convs):
        fifth = convs[at + 4].kernel_size if at + 4 < len(convs) else None
        blocks.append(list(range(at, at + (5 if fifth == (1, 1) else 4))))
        at += len(blocks[-1])
    return blocks


def streams(
    wide: Any, old: list[Any], new: list[Any], std: list[NDArray[np.float32]]
) -> list[Kept]:
    """Return the channels kept after the stem and after each block.

    What a block hands on is added to what it got: one choice for all of a width.
    """
    blocks = blocks_of(old)
    heads = [wide.get_layer(head).get_weights()[0] for head in zoo.HEADS]
    readers = [
        [reach(old[conv].get_weights()[0]) for conv in (block[0], *block[4:])] for block in blocks
    ]
    readers.append([np.sqrt(np.square(head).sum(axis=1)) for head in heads])
    widths = [(old[conv].filters, new[conv].filters) for conv in (0, *(b[1] for b in blocks))]
    scores: dict[int, Any] = {}
    for place, (width, _) in enumerate(widths):
        norm = np.sqrt(sum(np.square(each) for each in readers[place]))
        scores[width] = scores.get(width, 0) + std[2 * place] * norm
    return [most(scores[width], count) for width, count in widths]


def narrowed(wide: Any, narrow: Any, faces: NDArray[np.float32]) -> None:
    """Give ``narrow`` the best channels of ``wide``; both are lecturenets with the same blocks."""
    old, new = (in_order(model, keras.layers.Conv2D) for model in (wide, narrow))
    norms, new_norms = (
        iter(in_order(model, keras.layers.BatchNormalization)) for model in (wide, narrow)
    )

    def copy(conv: int, given: Kept, kept: Kept, *, normed: bool = True) -> None:
        kernel, *bias = old[conv].get_weights()
        new[conv].set_weights([kernel[:, :, given][..., kept], *(each[kept] for each in bias)])
        if normed:
            next(new_norms).set_weights([each[kept] for each in next(norms).get_weights()])

    blocks = blocks_of(old)
    std = spread(wide, in_order(wide, keras.layers.ReLU), faces)
    gate_std = spread(wide, [old[block[2]] for block in blocks], faces)
    given, *handed = streams(wide, old, new, std)
    copy(0, np.arange(1), given)
    for index, (conv1, conv2, squeeze, gate, *shortcut) in enumerate(blocks):
        inner = most(std[2 * index + 1] * reach(old[conv2].get_weights()[0]), new[conv1].filters)
        asked = gate_std[index] * reach(old[gate].get_weights()[0])
        hidden = most(asked, new[squeeze].filters)
        copy(conv1, given, inner)
        copy(conv2, inner, handed[index])
        copy(squeeze, handed[index], hidden, normed=False)
        copy(gate, hidden, handed[index], normed=False)
        for conv in shortcut:
            copy(conv, given, handed[index])
        given = handed[index]
    for head in zoo.HEADS:
        kernel, bias = wide.get_layer(head).get_weights()
        narrow.get_layer(head).set_weights([kernel[given], bias])


def main() -> None:
    """Write the first weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wide", type=Path, help="a lecturenet, a .keras file")
    parser.add_argument("out", type=Path, help="a .keras file, for --start")
    parser.add_argument("--name", default="lecturenet", help="of the narrower network")
    parser.add_argument("--data", type=Path, required=True, help="as for model train")
    given = parser.parse_args()
    wide, narrow = zoo.read_model(given.wide), cast(Any, zoo.build(given.name))
    widths = [
        [conv.filters for conv in in_order(model, keras.layers.Conv2D)] for model in (wide, narrow)
    ]
    if len(widths[0]) != len(widths[1]) or any(a < b for a, b in zip(*widths, strict=True)):
        parser.error(f"{given.wide} is no lecturenet, or one with fewer channels.")
    faces = dataset.read_dataset(given.data, "train").part("train").images[:FACES]
    narrowed(wide, narrow, faces[..., None].astype(np.float32))
    narrow.save(given.out)


if __name__ == "__main__":
    main()
