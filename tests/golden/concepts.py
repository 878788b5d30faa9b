"""A concept of two vectors in the built-in model, read by diffusers' `load_textual_inversion`: data/concepts.

    python tests/golden/concepts.py [--demo FOLDER]
"""

import argparse
from pathlib import Path

import diffusers
import torch
from diffusers import StableDiffusionPipeline

from record import DATA, Record

HERE = Path(__file__).resolve().parent
TOKEN, VECTORS, SEED = "<frost>", 2, 505
PROMPTS = [
    "a fox in the style of <frost>",
    "<frost>, a sea at night",
    "a <frost> tree and a <frost> boat",
    # 73 tokens before it, so that the concept takes the last two places.
    "a fox " * 36 + "a <frost>",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, default=HERE.parents[1] / "assets/demo")
    arguments = parser.parse_args()
    diffusers.utils.logging.set_verbosity_error()
    pipeline = StableDiffusionPipeline.from_pretrained(
        arguments.demo, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    table = pipeline.text_encoder.get_input_embeddings().weight
    # As large as the model's own embeddings, so that it says as much as any word.
    concept = torch.randn(VECTORS, table.shape[1], generator=torch.Generator().manual_seed(SEED)) * table.std().item()
    path = DATA / "checkpoints" / "frost.bin"
    torch.save({TOKEN: concept}, path)
    pipeline.load_textual_inversion(path)

    record = Record("concepts", token=TOKEN, seed=SEED, prompts=PROMPTS)
    record.add("vectors", concept)
    for index, prompt in enumerate(PROMPTS):
        with torch.no_grad():
            embeddings, _ = pipeline.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=False)
        ids = pipeline.tokenizer(
            pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer), padding="max_length", truncation=True
        ).input_ids
        first = pipeline.tokenizer.convert_tokens_to_ids(TOKEN)
        places = [place for place, id in enumerate(ids) if id == first]
        record.add(f"text.{index}", embeddings, ids=ids, places=places)
    record.write()


if __name__ == "__main__":
    main()
