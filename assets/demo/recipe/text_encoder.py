"""Stage `text_encoder`: teach it what captions are about before the UNet has to ask.

A tiny CLIP, captions against latents of their scenes; and, since every scene's facts are known, a linear head for each fact
on the closing token. Only the text tower is kept. It trains on together with the UNet.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

import latents as latent_files
import tokenizer as tokens
from pool import Pool
from settings import Work, save_model
from training.loop import cosine, generators, train
from training.muon import Muon
from world.scenes import TARGET_CLASSES, targets

WIDTH = 192
CAPTION_TOKENS = 32  # longer than any caption of the world


def new_text_encoder(tokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
    )


def latent_tower() -> nn.Module:
    def block(inputs, outputs, stride):
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.SiLU())

    return nn.Sequential(
        block(4, 64, 1),
        block(64, 128, 2),
        block(128, 128, 1),
        block(128, 192, 2),
        block(192, 192, 1),
        nn.Flatten(),
        nn.Linear(192 * 16, WIDTH),
    )


def make(work: Work) -> None:
    torch.manual_seed(0)
    pool, settings = Pool(work), work.settings
    latents = latent_files.load(work)
    scale = latent_files.scaling_factor(latents)
    tokenizer = tokens.load(work)
    ids = tokens.ids(tokenizer, pool.captions)[:, :CAPTION_TOKENS]
    answers = torch.tensor([targets(facts) for facts in pool.facts])
    lengths = (ids != tokenizer.eos_token_id).sum(1)
    start = work.start("text_encoder")
    text = CLIPTextModel.from_pretrained(start).float() if start else new_text_encoder(tokenizer)
    tower, projection = latent_tower(), nn.Linear(WIDTH, WIDTH, bias=False)
    heads = nn.ModuleList(nn.Linear(WIDTH, classes) for classes in TARGET_CLASSES)
    logit_scale = nn.Parameter(torch.tensor(2.6))
    parameters = [p for part in (text, tower, heads, projection) for p in part.parameters()] + [logit_scale]
    optimizer = Muon([], 1e-3, betas=(0.9, 0.98), adam=[(parameters, 1.0)])
    half = settings.text_batch // 2

    def ends(hidden, index, rng):
        """The closing token, and, for the heads, a random one of the padding after it: the UNet sees them all."""
        first = lengths[index]
        later = first + torch.from_numpy(rng.integers(0, CAPTION_TOKENS, len(index)))
        rows = torch.arange(len(index))
        last = CAPTION_TOKENS - 1
        return hidden[rows, first.clamp(max=last)], hidden[rows, later.clamp(max=last)]

    def job(_, seed):
        rng, _ = generators(3, seed)
        # Half of the batch with pictures, half with captions alone.
        seen = rng.integers(settings.held_out, len(latents), half)
        index = np.concatenate([seen, rng.integers(settings.held_out, len(pool), half)])
        with torch.autocast("cpu", torch.bfloat16):
            closing, padding = ends(text(ids[index]).last_hidden_state, index, rng)
            x = torch.from_numpy(latents[seen][:, :4].astype("float32") * scale)
            a = F.normalize(projection(closing[:half]).float(), dim=1)
            b = F.normalize(tower(x).float(), dim=1)
            logits = a @ b.T * logit_scale.exp().clamp(max=60)
            facts = sum(F.cross_entropy(head(padding).float(), answers[index, i]) for i, head in enumerate(heads))
        same = torch.arange(half)
        contrastive = (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2
        gradients = torch.autograd.grad(facts + 0.5 * contrastive, parameters, allow_unused=True)
        log = {"facts": facts.item(), "contrastive": contrastive.item()}
        return [g if g is not None else torch.zeros_like(p) for g, p in zip(gradients, parameters)], log, 2 * half

    @torch.no_grad()
    def measure():
        index = np.arange(settings.held_out)
        closing, padding = ends(text(ids[index]).last_hidden_state, index, np.random.default_rng(0))
        x = torch.from_numpy(latents[index][:, :4].astype("float32") * scale)
        similarity = F.normalize(projection(closing), dim=1) @ F.normalize(tower(x), dim=1).T
        found = (similarity.argmax(1) == torch.arange(len(index))).float().mean().item()
        known = [(head(padding).argmax(1) == answers[index, i]).float().mean().item() for i, head in enumerate(heads)]
        return {"facts_right": [round(k, 3) for k in known], f"picture_among_{len(index)}": round(found, 3)}

    steps = settings.text_steps
    train(
        "text_encoder",
        work,
        parameters,
        optimizer,
        job,
        lambda step: [0],
        measure,
        lambda folder: save_model(text, folder),
        steps=steps,
        schedule=cosine(steps),
        ema=0.99,
    )
