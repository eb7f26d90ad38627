"""The numbers of docs/labels.md: what each rule of merging makes of WordNet, what each law makes of a Zipf corpus.

python -m bench.labels wordnet30_noun_synsets.tsv.gz imagenet1k.tsv imagenet22k_wnids.txt.gz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.record import write_record
from tagwise.base.progress import say
from tagwise.tags.alignment import align, read_class_list, shared_keys
from tagwise.tags.law_report import sampled_laws
from tagwise.tags.lexicon import Lexicon
from tagwise.tags.lexicon_files import open_lexicon
from tagwise.tags.noise import marginal_variants
from tagwise.tags.signatures import merge_keys, rule_sizes
from tagwise.tags.thresholds import choose_threshold
from tests.references.sampling import zipf_corpus

LAWS = (
    ("natural", None),
    ("sqrt", "length=1.5"),
    ("sqrt", "largest"),
    ("uniform", "length=1.5"),
    ("uniform", "largest"),
    ("cap", "tail=0.3"),
    ("raked", "length=1.5"),
    ("raked:uniform", "length=1.5"),
)
"""With their thresholds; ``largest``: the count of the most frequent label, which moves the whole law."""


def main() -> None:
    """Writes ``docs/results/labels.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("lexicon", "thousand", "many"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    lexicon = open_lexicon(given.lexicon)
    results = {"rules": rules(lexicon, given.thousand, given.many), "laws": laws(), "noise": noise()}
    say(f"{write_record('labels', results, packages=('numpy',))}")


def rules(lexicon: Lexicon, thousand: Path, many: Path) -> dict[str, Any]:
    """The labels that each rule makes of two lists of classes and of all nouns, and what is ambiguous."""
    targets = {path.name: align(path.name, read_class_list(path), lexicon) for path in (thousand, many)}
    first = targets[thousand.name]
    return {
        "sizes": {
            **{f"{len(target.classes):,} classes": rule_sizes(lexicon, target.classes) for target in targets.values()},
            "all nouns": rule_sizes(lexicon),
        },
        "largest_union": max(map(len, merge_keys(lexicon, "union").members_of.values())),
        "shared_keys": sorted(shared_keys(first)),
    }


def laws() -> list[dict[str, Any]]:
    """What each law makes of 20,000 pictures with one to three of 1,000 labels, drawn by Zipf's law."""
    ids, offsets, counts = zipf_corpus()
    found = []
    for law, asked in LAWS:
        wanted = float(counts.max()) if asked == "largest" else asked
        threshold = choose_threshold(ids, offsets, counts, law, wanted)
        drawn = sampled_laws(ids, offsets, counts, law, threshold)
        found.append(
            {
                "law": law,
                "asked": asked,
                "threshold": threshold,
                "epoch_lengths": drawn.epoch_length / drawn.pictures,
                "most_draws": drawn.largest_factor,
                "effective_intended": drawn.intended_statistics.effective_labels,
                "effective_drawn": drawn.occurrence_statistics.effective_labels,
                "effective_mass": drawn.mass_statistics.effective_labels,
                "distance": drawn.mass_statistics.total_variation,
                "sample_size_fraction": drawn.effective_sample_size / drawn.pictures,
                "half_epoch_fraction": drawn.half_epoch_pictures / drawn.pictures,
                "raking": drawn.drawn.raking and drawn.drawn.raking.status,
            }
        )
    return found


def noise() -> dict[str, Any]:
    """What both marginal kinds do to the law of the Zipf corpus, if every picture had one label."""
    counts = zipf_corpus()[2]
    return {f"{share:g}": marginal_variants(counts / counts.sum(), share) for share in (0.1, 0.25)}


if __name__ == "__main__":
    main()
