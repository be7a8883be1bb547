"""How much wider than its percentiles an interval of a mean is: those who were drawn are few."""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

_Z: Final = NormalDist().inv_cdf(0.975)


def widening(n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor for 95 % intervals of the mean of ``n`` people, two at least.

    Percentiles of resampled means alone are too narrow with few people; the factor is the one by
    which a t interval exceeds them (Hesterberg 2015, The American Statistician 69:371): two
    quantiles' ratio, by the series of Cornish and Fisher, and ``√(n / (n - 1))``.

    Args:
        n: how many people; need not be whole.
    """
    v = n - 1
    t = _Z + (_Z**3 + _Z) / (4 * v) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * v**2)
    return t / _Z * np.sqrt(1 + 1 / v)
