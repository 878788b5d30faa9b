"""Token ids of 2,000 prompts, on the demo model's vocabulary and on CLIP's."""

import gzip
import json
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer

from clip_vocabulary import write_tokenizer
from prompts import prompts
from record import DATA, versions

LENGTH = 77


def tokenize(folder: Path, texts: list[str]) -> dict:
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    ids = tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True).input_ids
    uncut = tokenizer(texts, truncation=False).input_ids
    return {
        "class": " < ".join(kind.__name__ for kind in type(tokenizer).__mro__[:2]),
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
        "pad": tokenizer.pad_token_id,
        "ids": ids,
        "uncut_lengths": [len(row) for row in uncut],
    }


def make(demo: Path) -> None:
    texts = prompts()
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        clip = tokenize(Path(folder), texts)
    known = [49406, 320, 1674, 539, 320, 6829, 269, 49407]
    assert clip["ids"][texts.index("A picture of a puppy.")][:8] == known, "CLIP's vocabulary is laid out as it should be"
    tokens = {"versions": versions(), "prompts": texts, "demo": tokenize(demo / "tokenizer", texts), "clip": clip}
    text = json.dumps(tokens, ensure_ascii=True, separators=(",", ":"))
    path = DATA / "tokens.json.gz"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"tokens: {len(texts)} prompts, {path.stat().st_size / 1024:.0f} KiB")
