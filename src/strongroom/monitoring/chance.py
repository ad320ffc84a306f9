"""Quantiles of chi-squared from the standard library alone, since the gateway does not load scipy."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

_STEPS: Final = 200
_TINY: Final = 1e-300


@lru_cache(maxsize=1024)
def chi2_quantile(level: float, degrees: int) -> float:
    """The value that a chi-squared variable of `degrees` exceeds with probability 1 - `level`.

    Bisection on the regularised incomplete gamma function; relative error below 1e-12 (a test compares with scipy).

    Args:
        level: between 0 and 1.
        degrees: of freedom, at least 1.

    Raises:
        ValueError: outside these.

    Source: Press et al., Numerical Recipes, section 6.2.
    """
    if not 0.0 < level < 1.0 or degrees < 1:
        raise ValueError("a quantile has a level between 0 and 1 and at least one degree of freedom")
    low, high = 0.0, float(degrees)
    while chi2_share_below(high, degrees) < level:
        low, high = high, high * 2.0
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if chi2_share_below(middle, degrees) < level:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def chi2_share_below(value: float, degrees: int) -> float:
    """The probability that a chi-squared variable of `degrees` is at most `value`."""
    a, x = degrees / 2.0, value / 2.0
    if x <= 0.0:
        return 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        n = a
        while abs(term) > abs(total) * 1e-17:
            n += 1.0
            term *= x / n
            total += term
        return min(1.0, total * front)
    # continued fraction of the upper tail, modified Lentz
    b = x + 1.0 - a
    c, d = 1.0 / _TINY, 1.0 / b
    h = d
    for i in range(1, 10_000):
        an = -i * (i - a)
        b += 2.0
        d = an * d + b
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = b + an / c
        c = c if abs(c) > _TINY else _TINY
        step = d * c
        h *= step
        if abs(step - 1.0) < 1e-16:
            break
    return max(0.0, 1.0 - front * h)
