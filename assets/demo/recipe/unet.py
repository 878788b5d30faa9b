"""Stage `unet`: the diffusion model, and its text encoder with it.

eps-prediction on Stable Diffusion 1.x's noise schedule, one caption in ten left empty for classifier-free guidance. What
makes it follow captions is the weight of the loss: plain eps weighting all but ignores the noisiest steps, where the caption
matters most.
"""

import json

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel

import latents as latent_files
import tokenizer as tokens
from pool import Pool
from settings import Work, save_model, write_text
from training import attention, fast_norm
from training.loop import generators, train, trapezoid
from training.muon import Muon

LEARNING_RATE = 1e-3
TEXT_FACTOR = 0.3  # of the learning rate
EMPTY_SHARE = 0.1
TRAIN_STEPS = 1_000


def new_model() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=[64, 128, 192],
        cross_attention_dim=192,
        attention_head_dim=4,
        norm_num_groups=32,
        down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    )


def noise_schedule() -> tuple[torch.Tensor, torch.Tensor]:
    """Cumulative alphas, and the weight of each timestep: min(60, 1 + 1/SNR) * min(1, 5/SNR), of mean one."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TRAIN_STEPS) ** 2
    alphas = (1 - betas).cumprod(0)
    snr = alphas / (1 - alphas)
    weight = (1 + 1 / snr).clamp(max=60) * (5 / snr).clamp(max=1)
    return alphas, weight / weight.mean()


class Denoising:
    """The loss, which the training of concepts uses too."""

    def __init__(self, unet, scale: float):
        self.unet, self.scale = unet, scale
        self.alphas, self.weight = noise_schedule()

    def loss(self, latents, timesteps, hidden, generator):
        """`latents` (n, 8, 16, 16): means and deviations. `hidden` (n, 77, 192)."""
        sampled = latents[:, :4] + latents[:, 4:] * torch.randn(latents[:, :4].shape, generator=generator)
        x0 = sampled * self.scale
        eps = torch.randn(x0.shape, generator=generator)
        alpha = self.alphas[timesteps][:, None, None, None]
        x = (alpha.sqrt() * x0 + (1 - alpha).sqrt() * eps).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = self.unet(x, timesteps, hidden).sample
        return ((predicted.float() - eps).pow(2).mean((1, 2, 3)) * self.weight[timesteps]).mean()


def stratified_timesteps(rng, first: int, count: int, of: int) -> torch.Tensor:
    """One timestep from each of `count` of `of` equal parts: calmer gradients."""
    t = (first + np.arange(count) + rng.random(count)) / of * TRAIN_STEPS
    return torch.from_numpy(t.astype("int64").clip(0, TRAIN_STEPS - 1))


def make(work: Work) -> None:
    torch.manual_seed(2)
    settings = work.settings
    latents = latent_files.load(work)
    ids = tokens.ids(tokens.load(work), Pool(work).captions[: len(latents)])
    empty = tokens.ids(tokens.load(work), [""])[0]
    scale = latent_files.scaling_factor(latents)
    write_text(work / "unet/scaling_factor.json", json.dumps(scale))

    text_start, start = work.start("unet_text_encoder") or work / "text_encoder", work.start("unet")
    text = CLIPTextModel.from_pretrained(text_start).float().train()
    text.config._attn_implementation = "eager"
    unet = UNet2DConditionModel.from_pretrained(start) if start else new_model()
    unet = unet.float().train().to(memory_format=torch.channels_last)
    unet_parameters, text_parameters = list(unet.parameters()), list(text.parameters())
    parameters = unet_parameters + text_parameters
    optimizer = Muon(list(unet.named_parameters()), LEARNING_RATE, adam=[(text_parameters, TEXT_FACTOR)])
    fast_norm.install(unet, work.folder)
    attention.install(unet)
    denoising = Denoising(unet, scale)
    samples, batch = settings.unet_job, settings.unet_batch

    def loss(index, timesteps, generator, dropped):
        captions = ids[index].clone()
        captions[torch.from_numpy(dropped)] = empty
        with torch.autocast("cpu", torch.bfloat16):
            hidden = text(captions).last_hidden_state
        x = torch.from_numpy(np.array(latents[index], "float32"))
        return denoising.loss(x, timesteps, hidden, generator)

    def job(number, seed):
        rng, generator = generators(2, seed)
        timesteps = stratified_timesteps(rng, number * samples, samples, batch)
        index = rng.integers(settings.held_out, len(latents), samples)
        value = loss(index, timesteps, generator, rng.random(samples) < EMPTY_SHARE)
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        gradients = [g if g is not None else torch.zeros_like(p) for g, p in zip(gradients, parameters)]
        return gradients, {"loss": value.item()}, samples

    @torch.no_grad()
    def measure():
        """The loss on scenes held out, each at a timestep of its own."""
        count = min(256, settings.held_out)
        losses = []
        for i in range(0, count, 8):
            timesteps = torch.arange(i, i + 8) * TRAIN_STEPS // count
            generator = torch.Generator().manual_seed(i)
            losses.append(loss(np.arange(i, i + 8), timesteps, generator, np.zeros(8, bool)).item())
        return {"n": count, "loss": round(float(np.mean(losses)), 5)}

    def save(folder):
        save_model(unet, folder / "unet")
        save_model(text, folder / "text_encoder")

    steps, cooling = settings.unet_steps, settings.unet_cooling
    train(
        "unet",
        work,
        parameters,
        optimizer,
        job,
        lambda step: range(batch // samples),
        measure,
        save,
        steps=steps,
        schedule=trapezoid(steps, cooling, warmup=100),
        ema=0.999,
    )
