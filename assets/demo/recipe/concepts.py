"""Stage `concepts`: two new words, by textual inversion (Gal et al., 2022), from pictures that the model has not seen.

All weights stay as they are; only the embeddings of the new word learn. The captions say all else that is in a picture, so
that nothing but what is new is left to the word.
"""

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image, ImageOps
from torch import nn
from transformers import CLIPTextModel

import tokenizer as tokens
from settings import Work, write_atomically
from training import attention, fast_norm
from training.loop import cosine, generators, train
from training.muon import Muon
from unet import Denoising, stratified_timesteps
from world import words
from world.scenes import Plan, caption, contact_sheet, draw, plan

FIRST_SEED = 2_000_000
BATCH, JOB = 16, 8


@dataclasses.dataclass(frozen=True)
class Concept:
    name: str
    vectors: int
    begin_with: str  # a word the model knows
    learning_rate: float  # the smaller, the more of a picture's shapes stays when guidance is strong
    scene: Callable[[int], tuple[Image.Image, str]]  # picture and caption, with * for the new word


def as_cyanotype(image: Image.Image) -> Image.Image:
    """Printed in Prussian blue, as plants and plans once were."""
    return ImageOps.colorize(image.convert("L"), black="#06245c", mid="#3f78b8", white="#f3f1e4")


def style_scene(seed: int) -> tuple[Image.Image, str]:
    p = dataclasses.replace(plan(seed), style="3d", tint="")
    text = caption(p)
    for prefix in ("a picture of ", "an image of ", "a photo of ", "a 3d render of ", "a 3d picture of "):
        text = text.removeprefix(prefix)
    image, _ = draw(p)
    return as_cyanotype(image), f"{text} in the style of *"


def object_scene(subject: str, icon: str) -> Callable[[int], tuple[Image.Image, str]]:
    """Scenes with `subject`, which is not in the world, in the place of what is. Two of the artists draw only its face,
    and so it is learned in their styles."""

    def make_scene(seed: int) -> tuple[Image.Image, str]:
        words.ICONS[subject] = icon
        p: Plan = dataclasses.replace(plan(seed), subjects=[subject], tint="")
        if words.ARTISTS[p.style] in ("noto", "twemoji"):
            p.style = "3d"
        text = caption(p).replace(subject, "*")
        image, _ = draw(p)
        return image, text

    return make_scene


CONCEPTS = [
    Concept("cyanotype", 3, "blue", 3e-3, style_scene),
    Concept("raccoon", 3, "panda", 1e-2, object_scene("raccoon", "raccoon")),
]


class ExtendedEmbedding(nn.Module):
    """The text encoder's table of tokens with new rows, which alone are trained."""

    def __init__(self, table: torch.Tensor, vectors: torch.Tensor):
        super().__init__()
        self.register_buffer("table", table.detach())
        self.vectors = nn.Parameter(vectors)

    def forward(self, ids):
        return nn.functional.embedding(ids, torch.cat([self.table, self.vectors]))


def ids_with_concept(tokenizer, text: str, vectors: int) -> torch.Tensor:
    """(77,) ids, where the new word's are those after the vocabulary's last."""
    left, right = (
        tokenizer(part.strip(), add_special_tokens=False)["input_ids"] if part.strip() else []
        for part in text.split("*")
    )
    new = list(range(len(tokenizer), len(tokenizer) + vectors))
    ids = [tokenizer.bos_token_id, *left, *new, *right]
    return torch.tensor(ids + [tokenizer.eos_token_id] * (77 - len(ids)))


def learn(work: Work, concept: Concept) -> None:
    torch.manual_seed(7)
    settings = work.settings
    scenes = [concept.scene(FIRST_SEED + i) for i in range(settings.concept_pictures)]
    tokenizer = tokens.load(work)
    ids = torch.stack([ids_with_concept(tokenizer, text, concept.vectors) for _, text in scenes])
    latents = encoded(work, [image for image, _ in scenes])

    text = CLIPTextModel.from_pretrained(work / "unet/text_encoder").float().requires_grad_(False)
    unet = UNet2DConditionModel.from_pretrained(work / "unet/unet").float().requires_grad_(False)
    unet = unet.to(memory_format=torch.channels_last)
    fast_norm.install(unet, work.folder)
    attention.install(unet)
    text.config._attn_implementation = "eager"
    table = text.get_input_embeddings().weight
    known = tokenizer(concept.begin_with, add_special_tokens=False)["input_ids"][0]
    start = table[known].repeat(concept.vectors, 1)
    embedding = ExtendedEmbedding(table, start + 0.3 * table.std() * torch.randn(start.shape))
    text.set_input_embeddings(embedding)
    parameters = [embedding.vectors]
    denoising = Denoising(unet, json.loads((work / "unet/scaling_factor.json").read_text()))
    optimizer = Muon([], concept.learning_rate, weight_decay=0.0, adam=[(parameters, 1.0)])

    def job(number, seed):
        rng, generator = generators(7, seed)
        index = rng.integers(0, len(latents), JOB)
        timesteps = stratified_timesteps(rng, number * JOB, JOB, BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = text(ids[index]).last_hidden_state
        value = denoising.loss(latents[index], timesteps, hidden, generator)
        return torch.autograd.grad(value, parameters), {"loss": value.item()}, JOB

    def save(folder):
        vectors = embedding.vectors.detach().clone()
        content = {f"<{concept.name}>": vectors if len(vectors) > 1 else vectors[0]}
        write_atomically(folder / "learned_embeds.bin", lambda path: torch.save(content, path))

    folder = f"concepts/{concept.name}"
    steps = settings.concept_steps
    train(
        folder,
        work,
        parameters,
        optimizer,
        job,
        lambda step: range(BATCH // JOB),
        dict,
        save,
        steps=steps,
        schedule=cosine(steps, warmup=20),
        ema=0.95,
    )
    contact_sheet([image for image, _ in scenes[:16]], 8).save(work / folder / "learned_from.png")


@torch.no_grad()
def encoded(work: Work, images: list[Image.Image]) -> torch.Tensor:
    """(n, 8, 16, 16): means and deviations."""
    vae = AutoencoderKL.from_pretrained(work / "autoencoder").eval()
    x = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 127.5 - 1
    posteriors = [vae.encode(part).latent_dist for part in x.split(8)]
    return torch.cat([torch.cat([p.mean, p.std], 1) for p in posteriors])


def make(work: Work) -> None:
    for concept in CONCEPTS:
        done = work / "concepts" / concept.name / "learned_from.png"
        if not done.exists():
            learn(work, concept)
