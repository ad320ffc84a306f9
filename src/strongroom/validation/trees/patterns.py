"""What one leaf gives to the features of its path, for every pattern of "which of them does the row satisfy?".

The game: the features outside a set S are those of a reference, whose pattern R is random; the leaf counts if S and R
together satisfy the path. With a features that the row alone satisfies and b that the reference alone does, each of
the a gets (a-1)! b! / (a+b)! of the leaf's worth and each of the b loses a! (b-1)! / (a+b)!.

- interventional: R is the pattern of one of the reference rows, each as likely as the other.
- path-dependent: each feature is in R independently, with the share of the training weight that follows its steps. The
  value of a set is then what XGBoost and `shap` walk the trees for.

Only adding, subtracting and multiplying of whole arrays, in a fixed order: the same bits on every machine.

Sources: Lundberg et al. 2020, Nature Machine Intelligence 2, 56 to 67; Shapley 1953; sums over supersets: Yates 1937.
"""

from __future__ import annotations

from functools import cache
from math import factorial

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def independent(shares: Values) -> Values:
    """Chances of all patterns where each feature is in with its own chance.

    Args:
        shares: shape [leaves, features].

    Returns:
        Shape [leaves, 2**features]; bit n of the pattern is feature n.
    """
    found = np.ones((len(shares), 1))
    for column in range(shares.shape[1]):
        share = shares[:, column, None]
        found = np.concatenate([found * (1.0 - share), found * share], axis=1)
    return found


def counted(patterns: npt.NDArray[np.uint8], features: int) -> Values:
    """Shares of the reference rows that have each pattern.

    Args:
        patterns: shape [leaves, reference rows].
        features: how many.

    Returns:
        Shape [leaves, 2**features].
    """
    leaves, rows = patterns.shape
    flat = patterns.astype(np.int64) + (np.arange(leaves) << features)[:, None]
    found: Values = np.bincount(flat.ravel(), minlength=leaves << features).reshape(leaves, 1 << features) / rows
    return found


def gifts(chances: Values, worth: Values) -> Values:
    """What each feature gets, for each pattern of the row.

    Args:
        chances: of the reference's patterns, shape [leaves, 2**features].
        worth: of each leaf.

    Returns:
        Shape [features, 2**features, leaves].
    """
    leaves, size = chances.shape
    width = size.bit_length() - 1
    many = np.bitwise_count(np.arange(size))
    # at [k, Q]: the chance that the reference satisfies k features, those of Q among them; leaves lie side by side
    sums = np.zeros((width + 1, size, leaves))
    for k in range(width + 1):
        sums[k, many == k] = chances.T[many == k]
    for bit in range(width):
        halves = sums.reshape(width + 1, size >> bit + 1, 2, 1 << bit, leaves)
        halves[:, :, 0] += halves[:, :, 1]
    gain, gain_less, loss = (np.zeros((size, leaves)) for _ in range(3))
    for chance, (gains, gains_less, losses) in zip(sums, _shares(width), strict=True):
        gain += chance * gains
        gain_less += chance * gains_less
        loss += chance * losses
    # the row has the pattern p: what it leaves open, the reference has to satisfy, and that is read from behind
    gain, gain_less, loss = (np.multiply(one[::-1], worth) for one in (gain, gain_less, loss))
    found = np.empty((width, size, leaves))
    for feature, values in enumerate(found):
        shape = size >> feature + 1, 2, 1 << feature, leaves
        half = values.reshape(shape)
        np.negative(loss.reshape(shape)[:, 0], out=half[:, 0])
        np.subtract(gain.reshape(shape)[:, 1], gain_less.reshape(shape)[:, 0], out=half[:, 1])
    return found


@cache
def _shares(width: int) -> list[tuple[Values, Values, Values]]:
    """For a reference that satisfies k of the features, by the set Q that the row leaves open: what each feature gains
    that the row alone satisfies; that with one feature less in Q; what each feature of Q loses."""
    open_to = np.bitwise_count(np.arange(1 << width)).tolist()
    found = []
    for k in range(width + 1):
        a = width - k
        gains = [factorial(a - 1) * factorial(b) / factorial(a + b) if a else 0.0 for b in range(width + 1)]
        losses = [factorial(a) * factorial(b - 1) / factorial(a + b) if b else 0.0 for b in range(width + 1)]
        less = [0.0, *gains]
        found.append((
            np.array([gains[b] for b in open_to])[:, None], np.array([less[b] for b in open_to])[:, None],
            np.array([losses[b] for b in open_to])[:, None],
        ))  # fmt: skip
    return found
