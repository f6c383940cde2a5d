"""The energy distance, D(P, Q) = 2 E|a-b| - E|a-a'| - E|b-b'|.

It is 0 only for equal laws, and its estimation does not suffer from the dimension.

Source: Energy statistics: A class of statistics based on distances (Szekely, Rizzo, 2013)
https://doi.org/10.1016/j.jspi.2013.03.018
"""

from __future__ import annotations

from scipy.spatial.distance import cdist

from cwbench.ot.checks import Array, as_float64, same_size


def energy_distance(a: Array, b: Array) -> float:
    """The V-statistic of the energy distance: means over all pairs, a point with itself included.

    It is at least 0 and biased upwards by (E|a-a'| + E|b-b'|) / n for samples of one law; a
    difference of such values at equal sizes takes the bias away.

    Args:
        a: with shape `(n, *shape)`.
        b: with shape `(k, *shape)`.

    Raises:
        ValueError: if an input is not finite or the points differ in dimension.
    """
    a, b = as_float64("a", a), as_float64("b", b)
    same_size(a=a, b=b)
    return float(2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean())
