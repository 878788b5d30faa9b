"""Stage `image_encoder`: the second half of a tiny CLIP.

The first half is the pipeline's text encoder, which by now is finished and stays as it is. What is trained are a vision
transformer and the projection of the text tower's last token, so that a picture and its caption point the same way
(Radford et al., 2021). The world's facts about each scene help the tower on: they give it linear heads to answer, which are
thrown away afterwards.
"""

import json
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

import tokenizer as tokens
from pool import SIDE, Pool
from settings import Work, save_model, write_atomically
from training.loop import cosine, generators, train
from training.muon import Muon
from world.scenes import TARGET_CLASSES, targets

WIDTH = 192
CAPTION_TOKENS = 32
LEARNING_RATE = 2e-3
MAX_LOGIT_SCALE = 100.0

# How OpenAI's CLIP normalises pixels from 0 to 1, and so all programs do that do not ask.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def vision_tower() -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4,
            image_size=SIDE,
            patch_size=16,
            hidden_act="quick_gelu",
        )
    )


class Clip(nn.Module):
    """What is trained. `image` takes pictures from -1 to 1."""

    def __init__(self, start=None):
        super().__init__()
        self.vision = CLIPVisionModelWithProjection.from_pretrained(start).float() if start else vision_tower()
        self.text_projection = nn.Linear(WIDTH, WIDTH, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.heads = nn.ModuleList(nn.Linear(WIDTH, classes) for classes in TARGET_CLASSES)

    def image(self, x):
        return self.vision(normalized(x)).image_embeds.float()

    def text(self, pooled):
        return self.text_projection(pooled).float()


def normalized(x):
    """From -1 to 1, to what the tower expects."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (x / 2 + 0.5 - mean) / std


@torch.no_grad()
def pooled_captions(work: Work, captions: list[str], text_encoder=None) -> torch.Tensor:
    """The text tower's output at the first end of text, (n, WIDTH), in half precision."""
    text_encoder = text_encoder or CLIPTextModel.from_pretrained(work / "unet/text_encoder").float().eval()
    tokenizer = tokens.load(work)
    parts = []
    for i in range(0, len(captions), 512):
        ids = tokens.ids(tokenizer, captions[i : i + 512])[:, :CAPTION_TOKENS]
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(text_encoder(ids).pooler_output.half())
    return torch.cat(parts)


def retrieval(image_features, text_features, among: int = 100) -> float:
    """How often the caption of a picture is the nearest of a hundred."""
    found = []
    for i in range(0, len(image_features) - among + 1, among):
        similarity = image_features[i : i + among] @ text_features[i : i + among].T
        found.append((similarity.argmax(1) == torch.arange(among)).float().mean().item())
    return float(np.mean(found))


def make(work: Work) -> None:
    torch.manual_seed(6)
    pool = Pool(work)
    settings = work.settings
    captions = pooled_captions(work, pool.captions)
    answers = torch.tensor([targets(facts) for facts in pool.facts])
    clip = Clip(work.start("image_encoder"))
    clip.vision.config._attn_implementation = "eager"  # faster in training, as in the UNet
    parameters = list(clip.parameters())
    optimizer = Muon(list(clip.named_parameters()), LEARNING_RATE)
    held_out = settings.held_out // 100 * 100 or settings.held_out

    def job(_, seed):
        rng, _ = generators(6, seed)
        index = np.sort(rng.choice(np.arange(settings.held_out, len(pool)), settings.image_job, replace=False))
        x = pool.tensor(index)
        with torch.autocast("cpu", torch.bfloat16):
            image = clip.image(x)
            text = clip.text(captions[index].float())
            guesses = [head(image).float() for head in clip.heads]
        scale = clip.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
        logits = scale * F.normalize(image, dim=1) @ F.normalize(text, dim=1).T
        same = torch.arange(len(index))
        contrastive = (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2
        facts = sum(F.cross_entropy(guess, answers[index, i]) for i, guess in enumerate(guesses)) / len(guesses)
        log = {"contrastive": contrastive.item(), "facts": facts.item(), "scale": scale.item()}
        return torch.autograd.grad(contrastive + 3 * facts, parameters), log, len(index)

    @torch.no_grad()
    def features():
        images = []
        for i in range(0, held_out, 64):
            with torch.autocast("cpu", torch.bfloat16):
                images.append(clip.image(pool.tensor(slice(i, min(i + 64, held_out)))))
        return F.normalize(torch.cat(images), dim=1), F.normalize(clip.text(captions[:held_out].float()), dim=1)

    def measure():
        images, texts = features()
        among = min(100, held_out)
        return {
            "n": held_out,
            "caption_among_100": round(retrieval(images, texts, among), 3),
            "picture_among_100": round(retrieval(texts, images, among), 3),
        }

    def save(folder):
        save_model(clip.vision, folder / "image_encoder")
        projection = {
            "text_projection.weight": clip.text_projection.weight.detach(),
            "logit_scale": clip.logit_scale.detach(),
        }
        write_atomically(folder / "text_projection.pt", lambda path: torch.save(projection, path))

    def plan(step):
        return range(settings.image_batch // settings.image_job)

    steps = settings.image_steps
    train(
        "image_encoder",
        work,
        parameters,
        optimizer,
        job,
        plan,
        measure,
        save,
        steps=steps,
        schedule=cosine(steps),
        ema=0.99,
    )
    print("image_encoder:", json.loads((work / "image_encoder/trained.json").read_text())["held_out"], flush=True)
