"""The threshold of a sampling law: a count of pictures, or what such a count follows from."""

from __future__ import annotations

import numpy as np

from tagwise.base.errors import UsageError, unknown
from tagwise.tags.laws import Counts, Flat, Numbers, labelled_pictures, parse_law, rarest_counts

DEFAULT_EPOCH_LENGTH = 1.5
"""Draws in an epoch per labelled picture, where no threshold is given."""

THRESHOLD_FORMS = ("length=1.5", "tail=0.3", "quantile=0.2")

MOST_BITS = 1000
"""Floats hold no threshold above 2 to the power of little more."""


def choose_threshold(ids: Flat, offsets: Flat, counts: Counts, law: str, asked: float | str | None) -> float | None:
    """The number that a law of the power family, the cap or a raked law works with.

    Args:
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``.
        counts: Pictures of each label.
        law: As ``parse_law`` reads it.
        asked: A number is that of the plan: pictures, or the draws of a raked epoch. ``length=1.5`` are draws per
            labelled picture, ``tail=0.3`` the count below which that share of all labels given lies, ``quantile=0.2``
            the count that this share of the labels does not exceed. None: length=1.5.

    Returns:
        Pictures; draws in an epoch for a raked law; None for ``natural``.

    Raises:
        UsageError: No such law or threshold, one that the law has no use for, or one that would change nothing.
    """
    scheme, (kind, value) = parse_law(law).scheme, threshold_of_law(law, asked)
    if scheme == "natural":
        return None
    if not counts.any():
        return 1.0  # what follows refuses a corpus without labels in its own words
    if scheme == "raked":
        return _raked_length(offsets, kind, value)
    if kind == "length":
        rarest = rarest_counts(ids, offsets, counts)
        threshold = threshold_for_length(counts, rarest, law, value * int(rarest.sum()))
    elif kind == "tail":
        threshold = float(count_of_tail(counts, value))
    elif kind == "quantile":
        threshold = float(np.quantile(counts[counts > 0], value, method="inverted_cdf"))
    else:
        threshold = value
    _refuse_idle(counts, law, threshold, capped=scheme == "cap")
    return threshold


def threshold_of_law(law: str, asked: float | str | None) -> tuple[str, float]:
    """Reads a threshold for a law: what it is told by, ``pictures`` for a plain number, and its value.

    Raises:
        UsageError: No such law or threshold, or one that the law has no use for, whatever the corpus.
    """
    scheme, (kind, value) = parse_law(law).scheme, _parse_threshold(asked)
    if scheme == "natural" and asked is not None:
        raise UsageError(f"The natural law changes nothing, so it has no threshold; {asked} was given.")
    if scheme == "cap" and kind == "length":
        raise UsageError("The law cap needs a threshold in pictures, such as 1000, or tail=0.3.")
    if scheme == "raked" and kind in ("tail", "quantile"):
        raise UsageError(f"The law {law} has no threshold but the length of its epoch; give it as length=1.5.")
    return kind, value


def _parse_threshold(asked: float | str | None) -> tuple[str, float]:
    if asked is None:
        return "length", DEFAULT_EPOCH_LENGTH
    kind, equals, number = asked.partition("=") if isinstance(asked, str) else ("pictures", "=", str(asked))
    if not equals:
        kind, number = "pictures", kind
    try:
        value = float(number)
    except ValueError:
        raise unknown("threshold", str(asked), (*THRESHOLD_FORMS, "a number of pictures")) from None
    if kind not in ("pictures", "length", "tail", "quantile"):
        raise unknown("threshold", str(asked), THRESHOLD_FORMS)
    most = 1.0 if kind in ("tail", "quantile") else np.inf
    if not 0 < value <= most or value == np.inf:
        bounds = "above 0 and at most 1" if most == 1 else "above 0"
        raise UsageError(f"The threshold {asked} cannot be; give a number {bounds}.")
    return kind, value


def threshold_for_length(counts: Counts, rarest: Counts, law: str, length: float | None = None) -> float:
    """The smallest threshold whose epoch has the length wanted.

    Between two neighbouring counts the length is linear in phi(threshold), so that it is
    solved there instead of searched for.

    Args:
        counts: Pictures of each label.
        rarest: Pictures of which it is the rarest label, as ``rarest_counts`` gives them.
        law: One that repeats: ``sqrt``, ``uniform``, ``power:0.3``.
        length: Expected draws in an epoch; 1.5 times the labelled pictures unless given.

    Raises:
        UsageError: The length is below the number of labelled pictures, or the law does not repeat.
    """
    parsed = parse_law(law)
    if parsed.scheme != "power":
        raise UsageError(f"The law {law} repeats no picture, so no length gives it a threshold; sqrt and uniform do.")
    pictures = int(rarest.sum())
    length = DEFAULT_EPOCH_LENGTH * pictures if length is None else length
    _refuse_short(length, pictures)
    held = rarest > 0
    order = np.argsort(counts[held], kind="stable")
    levels, sizes = counts[held][order].astype(np.float64), rarest[held][order]
    phi: Numbers = levels**parsed.exponent
    repeated = np.cumsum(sizes / phi)  # draws per phi(threshold) of the labels up to this level
    unrepeated = pictures - np.cumsum(sizes)
    reached = max(0, int(np.searchsorted(phi * repeated + unrepeated, length, side="right")) - 1)
    wanted = float((length - unrepeated[reached]) / repeated[reached])
    if np.log2(wanted) / parsed.exponent > MOST_BITS:
        raise UsageError(
            f"The law {law} repeats too little for an epoch of {length:,.0f} draws from {pictures:,} pictures; ask "
            "for a shorter one, or for a larger exponent."
        )
    return wanted ** (1 / parsed.exponent)


def count_of_tail(counts: Counts, tail_fraction: float) -> int:
    """The count up to which labels make up the share of all labels given that is nearest to the one wanted.

    After MetaCLIP (H. Xu et al., arXiv 2309.16671), which keeps this share when its pool grows.

    Args:
        counts: Pictures of each label.
        tail_fraction: Above 0, at most 1.
    """
    ascending = np.sort(counts[counts > 0])
    shares = np.cumsum(ascending) / ascending.sum()
    return int(ascending[np.argmin(np.abs(shares - tail_fraction))])


def _raked_length(offsets: Flat, kind: str, value: float) -> float:
    """Draws in an epoch."""
    pictures = labelled_pictures(offsets)
    length = value * pictures if kind == "length" else value
    _refuse_short(length, pictures)
    return length


def _refuse_short(length: float, pictures: int) -> None:
    if not 1 <= pictures <= length < np.inf:
        raise UsageError(
            f"An epoch of {length:g} draws cannot show each of {pictures} labelled pictures; "
            f"ask for {max(1, pictures)} or more."
        )


def _refuse_idle(counts: Counts, law: str, threshold: float, *, capped: bool) -> None:
    """A threshold beyond all counts leaves the corpus as it is, and whoever gave it meant something else."""
    seen = counts[counts > 0]
    if capped and threshold >= seen.max():
        raise UsageError(
            f"With the threshold {threshold:g} the law {law} drops no picture: no label has more than {seen.max():,}; "
            "give less, or the law natural."
        )
    if not capped and threshold <= seen.min():
        raise UsageError(
            f"With the threshold {threshold:g} the law {law} repeats no picture: no label has fewer than "
            f"{seen.min():,}; give more, or the law natural."
        )
