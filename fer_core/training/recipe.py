"""What a training is made of; needs no Keras, so that the command line can list it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from cyclopts import Parameter, Token

from fer_core.errors import ConfigError
from fer_core.processor import multiplies_bfloat16

_MOST: Final = 1_000_000


def _whole(kind: type, tokens: Sequence[Token]) -> int:
    del kind
    text = tokens[0].value
    if not text.lstrip("+-").isdecimal():
        raise ValueError(f'"{text}" is no whole number')
    return int(text)


Whole = Annotated[int, Parameter(converter=_whole)]
"""A number that Cyclopts must not round: 1.5 epochs are a mistake, not two."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that changes what a training gives; stored in its checkpoint.

    ``lecturepulse model train --help`` prints what follows.

    Attributes:
        epochs: Length of the schedule; ``minutes`` may stop earlier, to go on another time.
        batch: Faces a step.
        learning_rate: The highest, after the warm-up; falls to 0 as a cosine.
        warmup_epochs: Epochs in which the learning rate rises to it.
        weight_decay: AdamW's; not on biases and batch normalisation.
        label_weight: Of the fer2013 head's loss; the consensus head's counts 1. A trunk that need
            not know wrong labels by heart reads the consensus better.
        label_smoothing: Of the fer2013 head, whose labels are wrong for about a third.
        averaging: Share of the mean kept each step, in the exponential mean of the weights.
        seed: Of initial weights, order, augmentation and dropout.
        mixed_bfloat16: Compute in bfloat16, keep the weights in float32; by default where the
            processor multiplies such matrices itself.
        augmentation: Share of the faces that are varied in every way; the rest are flipped only.
            Less makes a network learn faster that is slow to learn, such as a deep one.
        teacher_share: Share of the teacher's probabilities in what is to be learned (Hinton et
            al. 2015); the rest are votes and labels. Without a teacher it means nothing.
        mixing: Both parameters of the beta distribution by which every face is mixed with another,
            targets alike ("mixup", Zhang et al. 2018); 0 for none. The face itself keeps the
            greater part. A network then knows fewer wrong labels by heart.
    """

    epochs: Whole = 30
    batch: Whole = 128
    learning_rate: float = 2e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 0.02
    label_weight: float = 1.0
    label_smoothing: float = 0.1
    averaging: float = 0.998
    seed: Whole = 1
    mixed_bfloat16: bool = field(default_factory=multiplies_bfloat16)
    augmentation: float = 1.0
    teacher_share: float = 0.5
    mixing: float = 0.0

    def __post_init__(self) -> None:
        limits = {
            "epochs": 1 <= self.epochs <= _MOST,
            "batch": 2 <= self.batch <= _MOST,  # batch normalisation needs two
            "learning_rate": 0 < self.learning_rate <= 1,
            "warmup_epochs": 0 <= self.warmup_epochs <= self.epochs,
            "weight_decay": 0 <= self.weight_decay <= 1,
            "label_weight": 0 <= self.label_weight <= 10,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "averaging": 0 <= self.averaging < 1,
            "seed": 0 <= self.seed < 2**32,  # as far as Keras and NumPy go
            "augmentation": 0 <= self.augmentation <= 1,
            "teacher_share": 0 <= self.teacher_share <= 1,
            "mixing": 0 <= self.mixing <= 10,
        }
        for name, holds in limits.items():
            if not holds:
                raise ConfigError(
                    f"A training cannot have {name} {getattr(self, name)}.",
                    hint="lecturepulse model train --help says what each is.",
                )
