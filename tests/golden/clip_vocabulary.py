"""Writes OpenAI CLIP's vocabulary (49,408 entries) as `vocab.json` and `merges.txt`.

    python clip_vocabulary.py FOLDER

The source is the merges list that the package open_clip_torch ships (MIT licence). Ids, in order: the 256 bytes, the same bytes
as ends of words, one entry for each of the 48,894 merges, then the start and the end of a text.
"""

import gzip
import json
import sys
from importlib.util import find_spec
from pathlib import Path

MERGES = 49152 - 256 - 2
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_letters() -> list[str]:
    """A printable letter for each byte, in the order of the vocabulary: bytes that print stand for themselves and come first;
    the others borrow the letters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(printable))
    return [chr(byte) for byte in printable] + [chr(0x100 + i) for i in range(len(others))]


def clip_merges() -> list[str]:
    folder = find_spec("open_clip").submodule_search_locations[0]
    lines = gzip.open(Path(folder) / "bpe_simple_vocab_16e6.txt.gz", "rt", encoding="utf-8").read().split("\n")
    return lines[1 : MERGES + 1]


def write_vocabulary(folder: Path) -> None:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    merges = clip_merges()
    letters = byte_letters()
    entries = letters + [letter + "</w>" for letter in letters] + ["".join(merge.split()) for merge in merges] + [START, END]
    vocabulary = {entry: i for i, entry in enumerate(entries)}
    assert len(vocabulary) == 49408, "every entry stands once"
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")


def write_tokenizer(folder: Path) -> None:
    """The vocabulary with the two small files that make it a tokenizer folder for transformers."""
    folder = Path(folder)
    write_vocabulary(folder)
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    config = {**special, "do_lower_case": True, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    write_vocabulary(Path(sys.argv[1]))
