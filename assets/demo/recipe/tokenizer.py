"""Stage `tokenizer`: a byte-pair vocabulary in CLIP's format, learned on the world's own captions."""

import collections
import json
import re

import torch
from transformers import CLIPTokenizer

from settings import Work, write_text
from world.scenes import caption, plan
from world.words import COLORS, SETTINGS, STYLES, SUBJECTS, SYNONYMS

MAX_MERGES = 1_500
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
FIRST_SEED = 5_000_000


def byte_characters() -> dict[int, str]:
    """GPT-2's printable character for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def learn_merges(texts: list[str]) -> list[tuple[str, str]]:
    """Sennrich et al. (2016): merge the most frequent pair until there is none or there are enough."""
    characters = byte_characters()
    counts = collections.Counter(
        word for text in texts for word in re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", text.lower())
    )
    words = {}
    for word, count in counts.items():
        symbols = [characters[byte] for byte in word.encode()]
        symbols[-1] += "</w>"
        words[tuple(symbols)] = count
    merges = []
    while len(merges) < MAX_MERGES:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {merged(word, best): count for word, count in words.items()}
    return merges


def merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out, i = [], 0
    while i < len(word):
        both = word[i : i + 2] == pair
        out.append(pair[0] + pair[1] if both else word[i])
        i += 2 if both else 1
    return tuple(out)


def load(work: Work) -> CLIPTokenizer:
    folder = work / "tokenizer"
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77, pad_token=EOS, unk_token=EOS
    )


def ids(tokenizer: CLIPTokenizer, captions) -> torch.Tensor:
    """(n, 77)"""
    encoded = tokenizer(list(captions), padding="max_length", max_length=77, truncation=True)
    return torch.tensor(encoded["input_ids"])


def make(work: Work) -> None:
    # Drawn captions, and a plain list of the words, so that each is frequent enough to become one token.
    drawn = [caption(plan(FIRST_SEED + i)) for i in range(work.settings.tokenizer_captions)]
    words = [*SUBJECTS, *sum(SYNONYMS.values(), []), *COLORS, *sum(SETTINGS.values(), [])]
    words += sum((templates for _, templates in STYLES.values()), [])
    merges = learn_merges(drawn + [" ".join(words).replace("{}", "")] * 30)
    base = list(byte_characters().values())
    entries = [*base, *(symbol + "</w>" for symbol in base), *(a + b for a, b in merges), BOS, EOS]
    vocabulary = {entry: i for i, entry in enumerate(dict.fromkeys(entries))}
    special = {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": EOS}
    config = special | {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    }
    folder = work / "tokenizer"
    write_text(folder / "merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2))
    write_text(folder / "special_tokens_map.json", json.dumps(special, indent=2))
    write_text(folder / "vocab.json", json.dumps(vocabulary, ensure_ascii=False))
    print(f"tokenizer: {len(vocabulary)} entries, {len(merges)} merges", flush=True)
