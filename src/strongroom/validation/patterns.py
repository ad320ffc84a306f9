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
        Shape [leaves, 2**features, features].
    """
    leaves, size = chances.shape
    width = size.bit_length() - 1
    many = np.bitwise_count(np.arange(size)).astype(np.int64)
    # at [k, :, Q]: the chance that the reference satisfies k features, those of Q among them
    sums = np.zeros((width + 1, leaves, size))
    for k in range(width + 1):
        sums[k][:, many == k] = chances[:, many == k]
    for bit in range(width):
        halves = sums.reshape(width + 1, leaves, size >> bit + 1, 2, 1 << bit)
        halves[:, :, :, 0] += halves[:, :, :, 1]
    gain, gain_less, loss = (np.zeros((leaves, size)) for _ in range(3))
    for k in range(width + 1):
        a = width - k
        gain += sums[k] * _gain(a, many)
        gain_less += sums[k] * _gain(a, many - 1)
        loss += sums[k] * _loss(a, many)
    found = np.empty((leaves, size, width))
    rest = (size - 1) ^ np.arange(size)
    for feature in range(width):
        mine = (np.arange(size) >> feature & 1).astype(np.bool_)
        found[:, mine, feature] = gain[:, rest[mine]] - gain_less[:, rest[mine] | 1 << feature]
        found[:, ~mine, feature] = -loss[:, rest[~mine]]
    found *= worth[:, None, None]
    return found


def _gain(a: int, b: npt.NDArray[np.int64]) -> Values:
    return np.array([factorial(a - 1) * factorial(n) / factorial(a + n) if a and n >= 0 else 0.0 for n in b.tolist()])


def _loss(a: int, b: npt.NDArray[np.int64]) -> Values:
    return np.array([factorial(a) * factorial(n - 1) / factorial(a + n) if n > 0 else 0.0 for n in b.tolist()])
