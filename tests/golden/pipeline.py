"""The reference pipeline: diffusers' networks, k-diffusion's samplers, and the few conventions that join them.

Conventions that the data fixes, and that diffusers and k-diffusion leave open between them:

* `lesson` schedule: the sigmas of diffusers' LMSDiscreteScheduler ("linspace" spacing), ending in 0. Its timestep for a sigma is
  the inverse of the linear interpolation of the 1000 training sigmas over the integer timesteps.
* `karras` schedule: k-diffusion's, between the smallest and the largest training sigma, rho 7, ending in 0. Its timestep is
  k-diffusion's own: interpolated in log sigma, not rounded.
* Start noise is `randn * sigma[0]`; UNet input is `x / sqrt(sigma^2 + 1)`; `denoised = x - sigma * eps`.
* Guidance is `eps_u + g * (eps_c - eps_u)`, one UNet call on [unconditional pictures, conditional pictures].
"""

import importlib
import json
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, LMSDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


def import_k_diffusion(module: str):
    """Imports one module of k-diffusion without its `__init__`, which pulls in training and evaluation."""
    if "k_diffusion" not in sys.modules:
        package = types.ModuleType("k_diffusion")
        package.__path__ = list(find_spec("k_diffusion").submodule_search_locations)
        sys.modules["k_diffusion"] = package
    return importlib.import_module(f"k_diffusion.{module}")


sampling = import_k_diffusion("sampling")
external = import_k_diffusion("external")

SAMPLERS = {
    "euler": sampling.sample_euler,
    "euler-a": sampling.sample_euler_ancestral,
    "heun": sampling.sample_heun,
    "lms": sampling.sample_lms,
    "dpmpp-2m": sampling.sample_dpmpp_2m,
}
SCHEDULES = ["lesson", "karras"]


def lms_scheduler() -> LMSDiscreteScheduler:
    return LMSDiscreteScheduler(**BETAS, timestep_spacing="linspace")


def train_sigmas() -> torch.Tensor:
    """The 1000 training sigmas, smallest first, f32."""
    alphas_cumprod = lms_scheduler().alphas_cumprod
    return ((1 - alphas_cumprod) / alphas_cumprod) ** 0.5


def sigmas_of(schedule: str, steps: int) -> torch.Tensor:
    """`steps` falling sigmas and a final 0, f32."""
    if schedule == "lesson":
        scheduler = lms_scheduler()
        scheduler.set_timesteps(steps)
        return scheduler.sigmas.to(torch.float32)
    table = train_sigmas()
    return sampling.get_sigmas_karras(steps, table[0].item(), table[-1].item(), rho=7.0)


class TimestepRule:
    """The timestep rule of the schedule, for k-diffusion's wrappers around `eps(x_scaled, t)` or `v(x_scaled, t)`."""

    def __init__(self, network, schedule: str):
        super().__init__(network, lms_scheduler().alphas_cumprod, quantize=False)
        self.schedule = schedule

    def sigma_to_t(self, sigma, quantize=None):
        if self.schedule == "karras":
            return super().sigma_to_t(sigma, quantize)
        table = self.sigmas.double().numpy()
        t = np.interp(sigma.double().numpy(), table, np.arange(len(table), dtype=np.float64))
        return torch.from_numpy(t).float().view(sigma.shape)


class EpsDenoiser(TimestepRule, external.DiscreteEpsDDPMDenoiser):
    pass


class VDenoiser(TimestepRule, external.DiscreteVDDPMDenoiser):
    pass


class Pipeline:
    """A diffusers folder, loaded in f32 on the CPU. f16 files are widened exactly."""

    def __init__(self, folder: Path):
        folder = Path(folder)
        load = {"dtype": torch.float32, "low_cpu_mem_usage": False}
        self.padding = CLIPTokenizer.from_pretrained(folder / "tokenizer").pad_token_id
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", pad_token="<|endoftext|>")
        scheduler = json.loads((folder / "scheduler/scheduler_config.json").read_text())
        self.wrapper = VDenoiser if scheduler.get("prediction_type") == "v_prediction" else EpsDenoiser
        self.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet", **load).eval()
        self.vae = AutoencoderKL.from_pretrained(folder / "vae", **load).eval()
        self.vae_factor = 2 ** (len(self.vae.config.block_out_channels) - 1)

    @torch.no_grad()
    def encode_text(self, prompt: str) -> torch.Tensor:
        """[1, 77, width]: the last hidden state, after the final layer norm. The padding is not masked, as in SD 1.x.

        A tokenizer of transformers that pads with `!` takes every `!` of a prompt for padding, id 0. OpenCLIP, which knows no
        such token, trained with `!</w>` there; so the padding is put in afterwards."""
        ids = self.tokenizer(prompt, max_length=77, truncation=True, return_tensors="pt").input_ids
        ids = torch.nn.functional.pad(ids, (0, 77 - ids.shape[1]), value=self.padding)
        return self.text_encoder(ids).last_hidden_state

    @torch.no_grad()
    def eps(self, x_scaled: torch.Tensor, t: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return self.unet(x_scaled, t, encoder_hidden_states=text).sample

    def denoiser(self, prompt: str, negative: str, guidance: float, schedule: str) -> TimestepRule:
        cond, uncond = self.encode_text(prompt), self.encode_text(negative)

        def guided(x_scaled, t):
            pictures = x_scaled.shape[0]
            text = torch.cat([uncond.expand(pictures, -1, -1), cond.expand(pictures, -1, -1)])
            eps_u, eps_c = self.eps(torch.cat([x_scaled] * 2), torch.cat([t] * 2), text).chunk(2)
            return eps_u + guidance * (eps_c - eps_u)

        return self.wrapper(guided, schedule)

    @torch.no_grad()
    def encode_distribution(self, image: torch.Tensor):
        """(mean, logvar) of the latents of an image in -1..1. logvar is clamped to -30..20; no scaling factor is applied."""
        distribution = self.vae.encode(image).latent_dist
        return distribution.mean, distribution.logvar

    @torch.no_grad()
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """The picture, about -1..1, of latents that were already divided by the scaling factor."""
        return self.vae.decode(z).sample


def randn(seed: int, shape) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def gradient_picture(height: int, width: int) -> torch.Tensor:
    """The fixed start picture for image to image, u8 [height, width, 3], in whole-number arithmetic (// rounds down):
    red = 255 x // (width - 1); green = 255 y // (height - 1); blue = 255 - (red + green) // 2,
    and blue becomes 255 - blue where x // 16 + y // 16 is odd."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    red = 255 * x // (width - 1)
    green = 255 * y // (height - 1)
    blue = 255 - (red + green) // 2
    blue = torch.where((x // 16 + y // 16) % 2 == 1, 255 - blue, blue)
    return torch.stack([red, green, blue], dim=-1).to(torch.uint8)


def picture_to_tensor(picture: torch.Tensor) -> torch.Tensor:
    """u8 [h, w, 3] to f32 [1, 3, h, w] in -1..1: value / 255 * 2 - 1, each operation rounded to f32."""
    return (picture.float() / 255 * 2 - 1).permute(2, 0, 1)[None].contiguous()
