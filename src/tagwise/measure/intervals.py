"""How sure: intervals of shares, spread over seeds, and two nets on one test set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused

Z_95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95 % interval."""


def wilson(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Score interval of a share (E. B. Wilson, JASA 22, 1927).

    Args:
        successes: 0..trials.
        trials: Independent ones; none at all gives 0..1.
        z: Normal quantile of the confidence.

    Returns:
        Low and high end, in 0..1.
    """
    assert 0 <= successes <= trials, (successes, trials)
    if trials == 0:
        return 0.0, 1.0
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return (
        0.0 if successes == 0 else max(0.0, centre - half),
        1.0 if successes == trials else min(1.0, centre + half),
    )


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (of the sample, n - 1); a single value has none.

    Raises:
        DataRefused: There is no value.
    """
    if not len(values):
        raise DataRefused("There are no scores to take the mean of; finish at least one run.")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


_STUDENT_95 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
"""The 97.5 % point of Student's t for 1 to 9 degrees of freedom."""


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean of a few independent values, such as one a seed.

    Of three seeds it reaches 2.5 standard deviations to either side. For more than nine degrees of freedom the
    t point is the Cornish-Fisher expansion's, within 0.2 % (R. Fisher and E. Cornish, Technometrics 2, 1960).

    Raises:
        DataRefused: There are fewer than two values.
    """
    mean, sd = mean_and_sd(values)
    if sd is None:
        raise DataRefused("One value has no interval of its mean; run at least two seeds.")
    degrees = len(values) - 1
    if degrees <= len(_STUDENT_95):
        point = _STUDENT_95[degrees - 1]
    else:
        third, fifth = Z_95**3, Z_95**5
        point = Z_95 + (third + Z_95) / (4 * degrees) + (5 * fifth + 16 * third + 3 * Z_95) / (96 * degrees**2)
    half = point * sd / math.sqrt(len(values))
    return mean - half, mean + half


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Accuracy of a first net minus that of a second, on the same pictures."""

    pictures: int
    only_first: int
    """Pictures that the first alone has right."""
    only_second: int
    """Pictures that the second alone has right."""
    difference: float
    """-1..1."""
    low: float
    """Low end of its 95 % interval."""
    high: float
    """High end."""
    p_value: float
    """Of McNemar's exact test, two-sided: would equal nets disagree so unevenly?"""


def paired_difference(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> PairedDifference:
    """Compares two nets picture by picture, which is far sharper than two intervals.

    The interval is the adjusted Wald interval of D. Bonett and R. Price (J. Educ. Behav. Stat.
    37, 2012), the test that of Q. McNemar (Psychometrika 12, 1947) with the binomial law.

    Args:
        first_right: Whether the first net has each picture right.
        second_right: The same of the second.

    Raises:
        DataRefused: They judge different numbers of pictures, or none.
    """
    pictures = len(first_right)
    if pictures != len(second_right) or not pictures:
        raise DataRefused(
            f"Nets that judged {pictures} and {len(second_right)} pictures cannot be paired; use one set."
        )
    only_first = int(np.count_nonzero(first_right & ~second_right))
    only_second = int(np.count_nonzero(second_right & ~first_right))
    first, second = (only_first + 1) / (pictures + 2), (only_second + 1) / (pictures + 2)
    half = Z_95 * math.sqrt((first + second - (first - second) ** 2) / (pictures + 2))
    return PairedDifference(
        pictures=pictures,
        only_first=only_first,
        only_second=only_second,
        difference=(only_first - only_second) / pictures,
        low=max(-1.0, first - second - half),
        high=min(1.0, first - second + half),
        p_value=mcnemar_exact(only_first, only_second),
    )


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided probability that a fair coin falls so unevenly.

    Args:
        only_first: Heads.
        only_second: Tails.

    Returns:
        0..1; 1 where nothing differs.
    """
    tosses, fewer = only_first + only_second, min(only_first, only_second)
    ways = total = 1  # whole numbers: exact, with one division at the end
    for heads in range(1, fewer + 1):
        ways = ways * (tosses - heads + 1) // heads
        total += ways
    return min(1.0, 2 * total / (1 << tosses))
