"""How A1111 and ComfyUI take prompts apart, and what they make of the weights: data/weights.json.gz, data/weighted.

Both programs' own code answers (see programs.py), from checkouts that are given:

    python tests/golden/weights.py --a1111 FOLDER --comfy FOLDER [--demo FOLDER]

The data was made with AUTOMATIC1111/stable-diffusion-webui 1.10.1 as github.com/kklouzal/stable-diffusion-webui has it at
44480451de3a1fbd8e3060030a784d5cd66ba2c0, and with ComfyUI as github.com/M1kep/ComfyUI has it at
4b1444fc7a7d1dc542020f509dab2e2b90a4f16a.
"""

import argparse
import gzip
import json
import re
import tempfile
from pathlib import Path

import lark
import torch
import transformers
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

from programs import A1111, Comfy
from record import DATA, Record, versions
from weight_prompts import EMBEDDED, PROMPTS, SKIPPED

HERE = Path(__file__).resolve().parent
STEPS = 20
MIST, SEED = 9, 606
# It shares no factor with the width, so that every column comes by.
STRIDE = 13


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--a1111", type=Path, required=True)
    parser.add_argument("--comfy", type=Path, required=True)
    parser.add_argument("--demo", type=Path, default=HERE.parents[1] / "assets/demo")
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)

    tokenizer = CLIPTokenizer.from_pretrained(arguments.demo / "tokenizer")
    encoder = lambda: CLIPTextModel.from_pretrained(arguments.demo / "text_encoder", dtype=torch.float32)
    [frost] = torch.load(DATA / "checkpoints/frost.bin").values()
    mist = torch.randn(MIST, frost.shape[1], generator=torch.Generator().manual_seed(SEED)) * frost.std().item()
    concepts = {"frost": frost, "mist": mist}
    with tempfile.TemporaryDirectory() as folder:
        for name, vectors in concepts.items():
            save_file({name: vectors.contiguous()}, Path(folder) / f"{name}.safetensors")
        a1111 = A1111(arguments.a1111, tokenizer, encoder(), concepts)
        marks = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        comfy = Comfy(arguments.comfy, arguments.demo / "tokenizer", encoder(), folder, frost.shape[1], marks)
        write_table(a1111, comfy, concepts)
        write_embeddings(a1111, comfy, mist)


def write_table(a1111: A1111, comfy: Comfy, concepts: dict) -> None:
    rows = []
    for prompt in PROMPTS:
        row = {"prompt": prompt, "a1111": a1111_of(a1111, prompt), "comfy": {"runs": comfy.runs(prompt)}}
        if all(known_to_comfy(prompt, name) for name in concepts):
            row["comfy"]["chunks"] = comfy.chunks(prompt, vectors_of(prompt, concepts))
        rows.append(row)
    table = {"versions": versions() | {"lark": lark.__version__}, "steps": STEPS, "prompts": rows}
    text = json.dumps(table, ensure_ascii=True, separators=(",", ":"))
    # Without a time, so that the same data is the same file.
    (DATA / "weights.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    failures = [row["prompt"] for row in rows if "fails" in row["a1111"]]
    print(f"weights: {len(rows)} prompts, A1111 fails at {failures}")


def a1111_of(a1111: A1111, prompt: str) -> dict:
    try:
        parts = a1111.parts(prompt, STEPS)
        texts = {text for part in parts for _, text in part["schedule"]}
        return {
            "parts": parts,
            "texts": {text: {"runs": a1111.runs(text), "chunks": a1111.chunks(text)} for text in sorted(texts)},
        }
    except ValueError as error:
        return {"fails": str(error)}


def known_to_comfy(prompt: str, name: str) -> bool:
    return len(re.findall(name, prompt, re.I)) == len(re.findall(f"embedding:{name}", prompt))


def vectors_of(prompt: str, concepts: dict) -> list:
    """Which vectors come, one after the other."""
    named = re.findall("embedding:([a-z]+)", prompt)
    return [[name, index] for name in named for index in range(len(concepts[name]))]


def write_embeddings(a1111: A1111, comfy: Comfy, mist: torch.Tensor) -> None:
    record = Record("weighted", embedded=EMBEDDED, skipped=SKIPPED)
    record.add("mist", mist)
    for clip_skip, name, prompts in [(1, "embedded", EMBEDDED), (2, "skipped", SKIPPED)]:
        for index, prompt in enumerate(prompts):
            record.add(f"a1111.{name}.{index}", a1111.encode(prompt, clip_skip), stride=STRIDE)
            record.add(f"comfy.{name}.{index}", comfy.encode(prompt, clip_skip), stride=STRIDE)
    record.write()


if __name__ == "__main__":
    main()
