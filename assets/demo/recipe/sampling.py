"""Pictures for captions, quickly and many: bf16, batches, one thread for each."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel

import tokenizer as tokens
from settings import Work
from training import fast_norm


class Sampler:
    """`model`: a pipeline's folder in diffusers layout."""

    def __init__(self, work: Work, model: Path):
        self.work, self.tokenizer = work, tokens.load(work)
        self.text = CLIPTextModel.from_pretrained(model / "text_encoder").float().eval()
        self.unet = UNet2DConditionModel.from_pretrained(model / "unet").float().eval()
        self.vae = AutoencoderKL.from_pretrained(model / "vae").float().eval()
        for network in (self.unet, self.vae):
            network.to(memory_format=torch.channels_last)
            fast_norm.install(network, work.folder)

    @torch.no_grad()
    def __call__(self, captions, guidance: float, steps: int, batch: int = 16, first_seed: int = 0) -> torch.Tensor:
        """(n, 3, 128, 128) from -1 to 1. The noise of a picture depends on its place in the list alone."""
        firsts = range(0, len(captions), batch)

        def run(first):
            seeds = range(first_seed + first, first_seed + min(first + batch, len(captions)))
            return self.sample(self.hidden(captions[first : first + batch]), seeds, guidance, steps)

        with ThreadPoolExecutor(self.work.threads) as threads:
            return torch.cat(list(threads.map(run, firsts)))

    def hidden(self, captions):
        return self.text(tokens.ids(self.tokenizer, captions)).last_hidden_state

    @torch.no_grad()
    def sample(self, hidden, seeds, guidance, steps):
        scheduler = EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        )
        scheduler.set_timesteps(steps)
        noise = [torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        x = torch.stack(noise) * scheduler.init_noise_sigma
        hidden = torch.cat([self.hidden([""]).expand(len(x), -1, -1), hidden])
        for t in scheduler.timesteps:
            inputs = scheduler.scale_model_input(torch.cat([x, x]), t)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                empty, conditional = self.unet(inputs, t, hidden).sample.float().chunk(2)
            x = scheduler.step(empty + guidance * (conditional - empty), t, x).prev_sample
        with torch.autocast("cpu", torch.bfloat16):
            pictures = self.vae.decode(x / self.vae.config.scaling_factor).sample
        return pictures.float().clamp(-1, 1)


def to_images(pictures: torch.Tensor) -> list[Image.Image]:
    pixels = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(np.ascontiguousarray(p)) for p in pixels]
