"""Writes imagenet21k.txt.gz from the lists that timm ships, which are WordNet's identifiers and words.

    pip install --no-deps timm && python generate.py
"""
import gzip
import importlib.util
import pathlib

INFO = pathlib.Path(importlib.util.find_spec("timm").submodule_search_locations[0]) / "data" / "_info"
# The bits of the digit in a line, by the list that has the class.
LISTS = {1: "imagenet22k_synsets", 2: "imagenet21k_goog_synsets", 4: "imagenet12k_synsets", 8: "imagenet21k_miil_synsets"}


def main():
    words = dict(line.rstrip("\n").split("\t", 1) for line in open(INFO / "imagenet_synset_to_lemma.txt", encoding="utf-8"))
    members = {bit: (INFO / (name + ".txt")).read_text().split() for bit, name in LISTS.items()}
    assert all(ids == sorted(ids) for ids in members.values()), "the classes are in the order of their identifiers"
    lines = [f"{id} {sum(bit for bit, ids in sets.items() if id in ids):x} {words[id]}\n"
             for sets in [{bit: set(ids) for bit, ids in members.items()}] for id in sorted(set().union(*members.values()))]
    path = pathlib.Path(__file__).parent / "imagenet21k.txt.gz"
    path.write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))


main()
