"""Token ids of 2,000 prompts, on the demo model's vocabulary and on CLIP's; and of prompts with tokens that were added to a small
vocabulary, in every form in which a tokenizer is stored."""

import gzip
import json
import shutil
import tempfile
from pathlib import Path

from tokenizers import AddedToken
from transformers import CLIPTokenizer

from clip_vocabulary import write_tokenizer
from prompts import prompts
from random_models import TOKENIZER
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
    write("tokens", {"versions": versions(), "prompts": texts, "demo": tokenize(demo / "tokenizer", texts), "clip": clip})
    forms = {name: form(**change) for name, change in FORMS.items()}
    write("added_tokens", {"versions": versions(), "prompts": ADDED_PROMPTS, "forms": forms})


def write(name: str, content: dict) -> None:
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    path = DATA / f"{name}.json.gz"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{name}: {len(content['prompts'])} prompts, {path.stat().st_size / 1024:.0f} KiB")


def described(content: str, **flags) -> dict:
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, **flags}


START, END = "<|startoftext|>", "<|endoftext|>"
# One for each flag, in an order that is not the alphabet's.
ADDED = [
    described("<cat-toy>"),
    described("Sks", lstrip=True),
    described("zwx", single_word=True),
    described("<Dune>", normalized=False),
    described("tail", rstrip=True, single_word=True),
    described("<special>", normalized=False, special=True),
    described("two  words"),
]
ENDS = {"762": described(START, special=True), "763": described(END, normalized=False, special=True)}


def saved_by_transformers(folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken(**token) for token in ADDED])
    for file in folder.iterdir():
        file.unlink()
    tokenizer.save_pretrained(folder)


def older_tokenizer_json(folder: Path) -> None:
    """As before version 5: merges are lines, the length is set, and a model may stand beside `vocab.json` without a configuration."""
    saved_by_transformers(folder)
    (folder / "tokenizer_config.json").unlink()
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    content["truncation"] = {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 763, "pad_type_id": 0, "pad_token": END
    }
    path.write_text(json.dumps(content))


# What is written into the files of the small tokenizer, or done with its folder.
FORMS = {
    "transformers 5": {"then": saved_by_transformers},
    "tokenizer.json alone": {"then": older_tokenizer_json},
    "added_tokens.json": {"files": {"added_tokens.json": {token["content"]: 764 + id for id, token in enumerate(ADDED)}}},
    "added_tokens.json with gaps and known tokens": {"files": {"added_tokens.json": {"<b>": 790, "<a>": 800, "cat": 500, "fox": 41}}},
    "added_tokens_decoder": {
        "files": {
            "tokenizer_config.json": {
                "added_tokens_decoder": {**ENDS, **{str(764 + id): token for id, token in enumerate(ADDED)}},
            },
            "added_tokens.json": {"puppy": 764},
        }
    },
    "SD 1.x": {
        "files": {
            "tokenizer_config.json": {name: {"__type": "AddedToken", **described(END)} for name in ["eos_token", "unk_token"]},
            "special_tokens_map.json": {"bos_token": described(START), "eos_token": described(END), "unk_token": described(END)},
        }
    },
    "every end described": {
        "files": {
            "special_tokens_map.json": {
                "bos_token": described(START, rstrip=True),
                "eos_token": described(END, lstrip=True),
                "unk_token": described(END, rstrip=True),
                "pad_token": described(END, lstrip=True),
            }
        }
    },
    "SD 2.x": {"files": {"special_tokens_map.json": {"pad_token": "!"}}},
    "SD 2.x, listed": {
        "files": {
            "tokenizer_config.json": {
                "added_tokens_decoder": {"0": described("!", normalized=False, special=True), **ENDS}, "pad_token": "!"
            }
        }
    },
    "another padding": {"files": {"special_tokens_map.json": {"pad_token": "[PAD]"}}},
    "additional special tokens": {"files": {"special_tokens_map.json": {"additional_special_tokens": ["<b>", "<a>"]}}},
    "extra special tokens": {"files": {"special_tokens_map.json": {"extra_special_tokens": ["<b>", described("<A>", rstrip=True)]}}},
    "extra special tokens by name": {"files": {"tokenizer_config.json": {"extra_special_tokens": {"toy_token": "<a>"}}}},
}

ADDED_PROMPTS = [
    "a <cat-toy> on a boat",
    "a photo of <cat-toy>, in snow",
    "<cat-toy>",
    "<CAT-Toy> and <cat-TOY>",
    "a<cat-toy>b <cat-toy><cat-toy>",
    "<cat-toy",
    "(<cat-toy>:1.2), [<cat-toy>]",
    "a  sks dog, SKS",
    "asksb Sks.",
    "a zwx fox, zwx",
    "azwx zwxb zwx2 _zwx zwx-zwx",
    "a <Dune> at <dune>, <DUNE>",
    "a tail  of a fox",
    "tails tail, a fox-tail  puppy",
    "<special> <SPECIAL> a<special>b",
    "two words, two  words, two   words",
    "two\nwords Two\u00a0 WORDS",
    "<|startoftext|> a fox <|endoftext|> a boat",
    "<|STARTOFTEXT|> a <|EndOfText|>",
    "wow! a fox!! ! !a",
    "[PAD] a [pad]",
    "<a> <b>  fox <A>  <B> cat",
    "a cat, cats and the fox foxes",
    "puppy puppyish",
    "caf\u00e9 <cat-toy> cafe\u0301 \u732b<cat-toy>\u732b",
    "",
    "   ",
    " <cat-toy> " * 40,
]


def without_padding(folder: Path) -> None:
    """Pads with the end token: transformers would take every `!` of a prompt for padding (see `pipeline.py`)."""
    for name in ["special_tokens_map.json", "tokenizer_config.json"]:
        content = json.loads((folder / name).read_text())
        content.get("added_tokens_decoder", {}).pop("0", None)
        (folder / name).write_text(json.dumps({**content, "pad_token": END}))


def form(files: dict = {}, then=lambda folder: None) -> dict:
    """A tokenizer folder, whose `vocab.json` and `merges.txt` are the small tokenizer's if it has them, and its ids."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "tokenizer"
        shutil.copytree(TOKENIZER, folder)
        for name, content in files.items():
            path = folder / name
            before = json.loads(path.read_text()) if path.exists() else {}
            path.write_text(json.dumps({**before, **content}))
        then(folder)
        content = {file.name: file.read_text() for file in sorted(folder.iterdir()) if file.name not in ["vocab.json", "merges.txt"]}
        padding = CLIPTokenizer.from_pretrained(folder).pad_token_id
        if padding == 0:
            without_padding(folder)
        ids = tokenize(folder, ADDED_PROMPTS)
        lengths = [min(length, LENGTH) for length in ids["uncut_lengths"]]
        padded = [row[:length] + [padding] * (LENGTH - length) for row, length in zip(ids["ids"], lengths)]
        return {"files": content, "has_vocabulary": (folder / "vocab.json").exists(), "ids": padded}
