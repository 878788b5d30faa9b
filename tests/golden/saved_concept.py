"""A concept that Tidepool saved, loaded by diffusers' `load_textual_inversion`, against the edit that it was made of.

    python tests/golden/saved_concept.py [--tidepool PROGRAM] [--demo FOLDER]

Run by hand; it writes nothing that stays. Needs target/release/tidepool.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import diffusers
import torch
from diffusers import StableDiffusionPipeline

import surgery
from pipeline import Pipeline

HERE = Path(__file__).resolve().parent
TOKEN = "<puppy-skunk>"
EDIT = ("puppy=0.5*puppy+0.5*skunk", lambda own, of: 0.5 * of("puppy") + 0.5 * of("skunk"), True)
PROMPT = "a picture of a puppy on the grass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tidepool", type=Path, default=HERE.parents[1] / "target/release/tidepool")
    parser.add_argument("--demo", type=Path, default=HERE.parents[1] / "assets/demo")
    arguments = parser.parse_args()
    diffusers.utils.logging.set_verbosity_error()
    expected = surgery.encode(Pipeline(arguments.demo), PROMPT, EDIT)
    with tempfile.TemporaryDirectory() as folder:
        for ending in ["bin", "pt", "safetensors"]:
            path = Path(folder) / f"concept.{ending}"
            save = ["words", "puppy", "--edit", EDIT[0], "--save", path, "--token", TOKEN, "--device", "cpu"]
            subprocess.run([arguments.tidepool, *save], check=True, capture_output=True)
            pipeline = StableDiffusionPipeline.from_pretrained(
                arguments.demo, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
            )
            pipeline.load_textual_inversion(path)
            with torch.no_grad():
                embeddings, _ = pipeline.encode_prompt(PROMPT.replace("puppy", TOKEN), "cpu", 1, do_classifier_free_guidance=False)
            apart = (embeddings - expected).abs().max().item()
            print(f".{ending}: {apart:.1e} apart, the largest is {expected.abs().max().item():.2f}")
            assert apart < 1e-4 * expected.abs().max().item()
            # A1111's own rule for such files: a dictionary with one tensor, of one or two dimensions.
            held = torch.load(path, weights_only=True) if ending != "safetensors" else None
            assert held is None or (list(held) == [TOKEN] and held[TOKEN].dim() in (1, 2))


if __name__ == "__main__":
    main()
