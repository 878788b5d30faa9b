"""Token embeddings changed by hand inside transformers' text encoder, prompts mixed, layers skipped, and where diffusers' UNet
looks: data/surgery-MODEL.

    python tests/golden/surgery.py [MODEL ...] [--demo FOLDER]

The edits are made by hooks on the two embedding layers of `CLIPTextModel`, so that everything after them is transformers' own.
"""

import argparse
from pathlib import Path

import diffusers
import torch
import transformers

from pipeline import Pipeline, randn
from record import Record

HERE = Path(__file__).resolve().parent
PROMPT = "a picture of a puppy on the grass"
OTHER, THIRD = "a large leopard at night", ""
# How Tidepool writes the edit; what becomes of the token embedding `own`, with `of(word)` a row of the table; position or not.
EDITS = [
    ("puppy=cat", lambda own, of: of("cat"), True),
    ("puppy=0.5*puppy+0.5*skunk", lambda own, of: 0.5 * of("puppy") + 0.5 * of("skunk"), True),
    ("puppy=0.4*cat+0.6*panda", lambda own, of: 0.4 * of("cat") + 0.6 * of("panda"), True),
    ("puppy=puppy-dog+cat", lambda own, of: of("puppy") - of("dog") + of("cat"), True),
    ("puppy=, scale 1.5", lambda own, of: 1.5 * own, True),
    ("puppy=, no position", lambda own, of: own, False),
    ("puppy=, noise 0.5 seed 7", lambda own, of: own + 0.5 * own.square().mean().sqrt() * randn(7, own.shape), True),
]
WORD = "puppy"
SIGMA_STEP, UNET_SEED = 500.3, 7


def encode(pipeline: Pipeline, prompt: str, edit=None, clip_skip: int = 1) -> torch.Tensor:
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    ids = tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt").input_ids
    embeddings = encoder.text_model.embeddings if hasattr(encoder, "text_model") else encoder.embeddings
    hooks = []
    if edit is not None:
        _, change, has_position = edit
        place = ids[0].tolist().index(tokenizer.convert_tokens_to_ids(WORD + "</w>"))
        table = embeddings.token_embedding.weight

        def of(word: str) -> torch.Tensor:
            return table[tokenizer.convert_tokens_to_ids(word + "</w>")]

        def change_token(_module, _inputs, output):
            output = output.clone()
            output[0, place] = change(output[0, place].clone(), of)
            return output

        def drop_position(_module, _inputs, output):
            output = output.clone()
            output[..., place, :] = 0
            return output

        hooks.append(embeddings.token_embedding.register_forward_hook(change_token))
        if not has_position:
            hooks.append(embeddings.position_embedding.register_forward_hook(drop_position))
    with torch.no_grad():
        output = encoder(ids, output_hidden_states=True)
        text_model = getattr(encoder, "text_model", encoder)
        result = output.last_hidden_state if clip_skip == 1 else text_model.final_layer_norm(output.hidden_states[-clip_skip])
    for hook in hooks:
        hook.remove()
    return result


def slerp(t: float, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Shoemake's, for each position, in double precision."""
    a, b = a.double(), b.double()
    cosine = (a * b).sum(-1, keepdim=True) / (a.norm(dim=-1, keepdim=True) * b.norm(dim=-1, keepdim=True))
    angle = torch.arccos(cosine.clamp(-1, 1))
    on_arc = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    # Begin is the same in every prompt.
    return torch.where(angle.abs() < 1e-2, (1 - t) * a + t * b, on_arc).float()


class Watcher:
    """diffusers' plain attention, which also keeps the mean of its weights over the heads."""

    def __init__(self, maps: list):
        self.maps, self.plain = maps, diffusers.models.attention_processor.AttnProcessor()

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **rest):
        if encoder_hidden_states is not None:
            query = attn.head_to_batch_dim(attn.to_q(hidden_states))
            key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
            self.maps.append(attn.get_attention_scores(query, key).mean(0))
        return self.plain(attn, hidden_states, encoder_hidden_states, **rest)


def maps_of(pipeline: Pipeline, text: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[tokens, height, width]: the mean over layers, each brought to the size of the latents by torch's bilinear interpolation."""
    maps: list = []
    before = pipeline.unet.attn_processors
    pipeline.unet.set_attn_processor(Watcher(maps))
    with torch.no_grad():
        pipeline.unet(randn(UNET_SEED, (1, 4, height, width)), torch.tensor([SIGMA_STEP]), text)
    pipeline.unet.set_attn_processor(before)
    total = 0
    for weights in maps:
        factor = round((height * width / weights.shape[0]) ** 0.5)
        sides = (-(-height // factor), -(-width // factor))
        planes = weights.T.reshape(1, -1, *sides)
        total = total + torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", align_corners=False)[0]
    return total / len(maps)


def make(name: str, folder: Path) -> None:
    pipeline = Pipeline(folder)
    record = Record(
        f"surgery-{name}",
        prompt=PROMPT,
        others=[OTHER, THIRD],
        edits=[written for written, _, _ in EDITS],
        maps={"timestep": SIGMA_STEP, "seed": UNET_SEED, "sides": [12, 20]},
    )
    plain = encode(pipeline, PROMPT)
    record.add("plain", plain, whole=True)
    for index, edit in enumerate(EDITS):
        record.add(f"edit.{index}", encode(pipeline, PROMPT, edit), whole=name == "demo")
    for clip_skip in [2, 3]:
        record.add(f"skip.{clip_skip}", encode(pipeline, PROMPT, EDITS[0], clip_skip))
    other, third = encode(pipeline, OTHER), encode(pipeline, THIRD)
    record.add("mix.linear", 0.6 * plain + 0.4 * other)
    record.add("mix.three", 0.5 * plain + 0.7 * other - 0.2 * third)
    record.add("mix.spherical", slerp(0.4, plain, other))
    record.add("maps", maps_of(pipeline, plain, 12, 20), whole=True)
    record.write()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="demo, narrow; both if none is named")
    parser.add_argument("--demo", type=Path, default=HERE.parents[1] / "assets/demo")
    arguments = parser.parse_args()
    transformers.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    folders = {"demo": arguments.demo, "narrow": HERE / "models/narrow"}
    for name in arguments.models or folders:
        make(name, folders[name])


if __name__ == "__main__":
    main()
