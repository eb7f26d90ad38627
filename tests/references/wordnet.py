"""A WordNet of our own, a few dozen nouns, in the three forms that a lexicon can have."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from xml.sax.saxutils import quoteattr

from tagwise.tags.lexicon import Lexicon
from tagwise.tags.lexicon_files import open_lexicon

NOUNS: dict[str, tuple[str, str]] = {
    "thing": ("thing, entity", ""),
    "animal": ("animal, beast, creature", "thing"),
    "mammal": ("mammal", "animal"),
    "bear": ("bear", "mammal"),
    "brown bear": ("brown bear, bruin, Ursus arctos", "bear"),
    "bruin": ("bruin", "thing"),
    "grizzly": ("grizzly, grizzly bear, Ursus horribilis", "brown bear"),
    "panda": ("giant panda, panda", "bear"),
    "lesser panda": ("lesser panda, panda, bear cat", "mammal"),
    "dog": ("dog, domestic dog, Canis familiaris", "mammal"),
    "beagle": ("beagle", "dog"),
    "cardigan dog": ("Cardigan, Cardigan Welsh corgi", "dog"),
    "cat": ("cat, true cat", "mammal"),
    "tabby": ("tabby, tabby cat", "cat"),
    "gossip": ("cat, gossip", "thing"),
    "sloth": ("three-toed sloth, ai", "mammal"),
    "ox": ("ox, wild ox", "mammal"),
    "goose": ("goose", "bird"),
    "bird": ("bird", "animal"),
    "albatross": ("albatross, mollymawk", "bird"),
    "crane bird": ("crane", "bird"),
    "crane machine": ("crane, derrick", "machine"),
    "machine": ("machine", "thing"),
    "car": ("car, auto, automobile, motorcar", "machine"),
    "ambulance": ("ambulance", "car"),
    "garment": ("garment", "thing"),
    "cardigan": ("cardigan", "garment"),
    "shade": ("shade", "thing"),
    "sunglass": ("sunglass, burning glass", "machine"),
    "sunglasses": ("sunglasses, dark glasses, shades", "garment"),
    "axe": ("axe, ax", "machine"),
    "axis": ("axis", "thing"),
    "Rover": ("Rover", "dog!"),  # an instance
}
"""Names of each synset and its parent."""

EXCEPTIONS = "axes ax axis\ngeese goose\noxen ox\n"


def write_wordnet(folder: Path) -> dict[str, str]:
    """Writes ``data.noun``, ``index.noun`` and ``noun.exc``, and says the number of each synset."""
    licence = "  1 WordNet 9.9 Copyright of nobody: its nouns were chosen by our tests.  \n"
    offset, offsets = len(licence), {}
    for synset in NOUNS:
        offsets[synset] = f"{offset:08d}"
        offset += len(_data_line("0" * 8, synset, defaultdict(lambda: "0" * 8)))
    folder.mkdir(parents=True, exist_ok=True)
    lines = [_data_line(number, synset, offsets) for synset, number in offsets.items()]
    (folder / "data.noun").write_text(licence + "".join(lines), "ascii", newline="")
    senses = defaultdict(list)
    for synset, (names, _) in NOUNS.items():
        for name in names.lower().replace(", ", ",").replace(" ", "_").split(","):
            senses[name].append(offsets[synset])
    index = [f"{name} n {len(held)} 0 {len(held)} 0 {' '.join(held)}  \n" for name, held in sorted(senses.items())]
    (folder / "index.noun").write_text(licence + "".join(index), "ascii", newline="")
    (folder / "noun.exc").write_text(EXCEPTIONS, "ascii", newline="")
    return {synset: f"n{number}" for synset, number in offsets.items()}


def _data_line(number: str, synset: str, offsets: dict[str, str]) -> str:
    names, parent = NOUNS[synset]
    words = [f"{name.replace(' ', '_')} 0" for name in names.split(", ")]
    symbol = "@i" if parent.endswith("!") else "@"
    pointers = [f"{symbol} {offsets[parent.rstrip('!')]} n 0000"] if parent else []
    pointers += ["~ 00000000 n 0000", "+ 00000000 v 0101"]  # ways that lead to no parent
    return f"{number} 05 n {len(words):02x} {' '.join(words)} {len(pointers):03d} {' '.join(pointers)} | a noun  \n"


def write_lmf(path: Path, numbers: dict[str, str]) -> None:
    """The same as WN-LMF."""
    irregular = defaultdict(list)
    for plural, *singulars in map(str.split, EXCEPTIONS.splitlines()):
        for singular in singulars:
            irregular[singular].append(plural)
    entries, synsets = [], []
    for synset, (names, parent) in NOUNS.items():
        number = f"test-{numbers[synset][1:]}-n"
        for name in names.split(", "):
            forms = "".join(f"<Form writtenForm={quoteattr(form)}/>" for form in irregular.pop(name, ()))
            lemma = f'<Lemma writtenForm={quoteattr(name)} partOfSpeech="n"/>'
            entries.append(f'<LexicalEntry id="e">{lemma}{forms}<Sense id="s" synset="{number}"/></LexicalEntry>')
        kind = "instance_hypernym" if parent.endswith("!") else "hypernym"
        target = numbers.get(parent.rstrip("!"), "")[1:]
        above = f'<SynsetRelation relType="{kind}" target="test-{target}-n"/>' if parent else ""
        synsets.append(f'<Synset id="{number}" partOfSpeech="n">{above}</Synset>')
    verb = '<Lemma writtenForm="bear" partOfSpeech="v"/><Sense id="s" synset="test-1-v"/>'
    entries.append(f'<LexicalEntry id="v">{verb}</LexicalEntry>')
    body = "\n".join([*entries, *synsets, '<Synset id="test-1-v" partOfSpeech="v"/>'])
    text = f'<Lexicon id="test" label="WordNet" version="9.9" language="en">{body}</Lexicon>'
    path.write_text(f"<?xml version='1.0' encoding='UTF-8'?>\n<LexicalResource>{text}</LexicalResource>", "utf-8")


def write_table(path: Path, numbers: dict[str, str]) -> None:
    """The same as a table, but for the irregular plurals."""
    rows = [f"{numbers[s]}\t{names}\t{numbers.get(up.rstrip('!'), '')}" for s, (names, up) in NOUNS.items()]
    path.write_text("\n".join(rows), "utf-8")


def lexicon(folder: Path) -> tuple[Lexicon, dict[str, str]]:
    """The lexicon read back, and the number of each synset."""
    numbers = write_wordnet(folder)
    return open_lexicon(folder), numbers
