"""How well each rule merges the words that people of an art site wrote down as aliases of a tag.

Over all pairs of words. Recall: of the pairs that belong to one tag, the share that a rule puts into one label.
Precision: of the pairs that a rule puts into one label, the share that belongs to one tag. A word is a tag or an
alias; those that stand at several tags are left out.

    python -m bench.merging artwork_tags_with_aliases.csv WORDNET
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.record import write_record
from tagwise.base.progress import say
from tagwise.tags.key import canonical_key
from tagwise.tags.labelling import build_label_space
from tagwise.tags.lexicon import Lexicon
from tagwise.tags.lexicon_files import open_lexicon
from tagwise.tags.space import LabelOptions, LabelSpace
from tagwise.tags.table import TagTable


def main() -> None:
    """Scores each rule and writes ``docs/results/merging.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("aliases", type=Path)
    parser.add_argument("wordnet", type=Path)
    given = parser.parse_args()
    record = scores(read_truth(given.aliases), open_lexicon(given.wordnet))
    for name, found in record["rules"].items():
        say(f"{name:28} precision {found['precision']:.3f}, recall {found['recall']:.3f}, {found['labels']:,} labels")
    say(f"{write_record('merging', record, packages=('numpy',))}")


def read_truth(path: Path) -> dict[str, str]:
    """Each word of the site to the tag that it belongs to."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    tags_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for word in (row["tag"], *filter(None, row["aliases"].split(","))):
            tags_of[word].add(row["tag"])
    truth = {word: next(iter(tags)) for word, tags in tags_of.items() if len(tags) == 1 and canonical_key(word)}
    return {word: tag for word, tag in sorted(truth.items()) if tag in truth}


def scores(truth: Mapping[str, str], lexicon: Lexicon) -> dict[str, Any]:
    """Precision and recall of each rule.

    Args:
        truth: Each word to its tag.
        lexicon: For the rules that need one.
    """
    words = list(truth)
    rules: dict[str, dict[str, Any]] = {
        "keys alone": {"options": LabelOptions(plurals=False)},
        "keys, plurals by counts": {"options": LabelOptions()},
    }
    for rule in ("keys", "signature", "union"):
        options = LabelOptions(rule=rule, unknown="label", min_length=1)
        rules[f"WordNet, {rule}, plurals"] = {"options": options, "lexicon": lexicon}
    # Each alias stands on one picture and each tag on two, so that a tag is the more frequent of the two.
    said = np.array([*range(len(words)), *(number for number, word in enumerate(words) if truth[word] == word)])
    table = TagTable(pictures=len(said), rows=np.arange(len(said)), raw_ids=said, raw=words)
    return {
        "words": len(words),
        "tags": len(set(truth.values())),
        "pairs": _pairs(truth.values()),
        "rules": {name: _score(truth, build_label_space(table, **given).space) for name, given in rules.items()},
    }


def _score(truth: Mapping[str, str], space: LabelSpace) -> dict[str, Any]:
    labels = {word: space.encode(word) for word in truth}
    merged, right = _pairs(labels.values()), _pairs((labels[word], tag) for word, tag in truth.items())
    return {
        "labels": len(space),
        "merged_pairs": merged,
        "right_pairs": right,
        "precision": right / max(1, merged),
        "recall": right / _pairs(truth.values()),
        "aliases_at_their_tag": sum(labels[word] == labels[tag] for word, tag in truth.items() if word != tag),
        "wrong_examples": _wrong(truth, labels)[:8],
    }


def _wrong(truth: Mapping[str, str], labels: Mapping[str, int | None]) -> list[list[str]]:
    """Words of one label that the site keeps apart, one of each of its tags."""
    tags_of: dict[int | None, dict[str, str]] = defaultdict(dict)
    for word, tag in truth.items():
        tags_of[labels[word]].setdefault(tag, word)
    return [sorted(found.values())[:5] for found in tags_of.values() if len(found) > 1]


def _pairs(groups: Iterable[Hashable]) -> int:
    return sum(size * (size - 1) // 2 for size in Counter(groups).values())


if __name__ == "__main__":
    main()
