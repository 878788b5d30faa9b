"""Whole sampling runs of 10 steps: every sampler on every schedule, text to image and image to image.

Noise of one picture with seed s comes from one CPU generator, `manual_seed(s)`, drawn in this order, each [1, 4, h, w]:
  text to image:  start noise; then one draw per ancestral step.
  image to image: noise for the VAE's distribution; the noise added to the latents; then one draw per ancestral step.
Picture i of a batch has its own generator, seed + i.
"""

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

from pipeline import BETAS, SAMPLERS, SCHEDULES, Pipeline, gradient_picture, picture_to_tensor, sigmas_of
from record import Record

SETTINGS = {"prompt": "a large fox in the snow", "negative": "", "guidance": 7.5, "seed": 32, "steps": 10}
START_STEP = 4  # image to image runs sigmas[4:]
LATENT_SIZES = {"demo": (16, 16), "narrow": (8, 12), "wide": (8, 12), "velocity": (8, 12)}


class NoiseStream:
    """Noise of a batch: one generator per picture."""

    def __init__(self, seed: int, pictures: int, h: int, w: int):
        self.generators = [torch.Generator().manual_seed(seed + i) for i in range(pictures)]
        self.shape = (1, 4, h, w)

    def draw(self) -> torch.Tensor:
        return torch.cat([torch.randn(self.shape, generator=generator) for generator in self.generators])


def sample(pipeline: Pipeline, sampler: str, schedule: str, x, sigmas, noise: NoiseStream):
    """The final latents, and the latents that entered each step, stacked."""
    denoiser = pipeline.denoiser(SETTINGS["prompt"], SETTINGS["negative"], SETTINGS["guidance"], schedule)
    options = {"noise_sampler": lambda sigma, sigma_next: noise.draw()} if sampler == "euler-a" else {}
    entered = []
    latents = SAMPLERS[sampler](
        denoiser, x, sigmas, callback=lambda step: entered.append(step["x"].clone()), disable=True, **options
    )
    return latents, torch.stack(entered)


def text_to_image(pipeline, sampler, schedule, h, w, pictures=1):
    noise = NoiseStream(SETTINGS["seed"], pictures, h, w)
    sigmas = sigmas_of(schedule, SETTINGS["steps"])
    return sample(pipeline, sampler, schedule, noise.draw() * sigmas[0], sigmas, noise)


def image_to_image(pipeline, sampler, schedule, h, w):
    """Also the latents of the picture, scaled, before noise is added."""
    noise = NoiseStream(SETTINGS["seed"], 1, h, w)
    picture = gradient_picture(h * pipeline.vae_factor, w * pipeline.vae_factor)
    mean, logvar = pipeline.encode_distribution(picture_to_tensor(picture))
    z = (mean + (0.5 * logvar).exp() * noise.draw()) * pipeline.vae.config.scaling_factor
    sigmas = sigmas_of(schedule, SETTINGS["steps"])[START_STEP:]
    x = z + noise.draw() * sigmas[0]
    return *sample(pipeline, sampler, schedule, x, sigmas, noise), z


def by_diffusers_alone(folder) -> torch.Tensor:
    """The picture of diffusers' own pipeline and scheduler, in 0..1: nothing of ours is in between."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None)
    pipeline.scheduler = EulerDiscreteScheduler(**BETAS, timestep_spacing="linspace")
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline(
        SETTINGS["prompt"], negative_prompt=SETTINGS["negative"], guidance_scale=SETTINGS["guidance"], height=128, width=128,
        num_inference_steps=SETTINGS["steps"], generator=torch.Generator().manual_seed(SETTINGS["seed"]), output_type="pt",
    )  # fmt: skip
    return picture.images


def make(name: str, folder) -> None:
    pipeline = Pipeline(folder)
    h, w = LATENT_SIZES[name]
    schedules = SCHEDULES if name == "demo" else ["lesson"]
    record = Record(
        f"{name}-trajectories",
        settings=SETTINGS,
        start_step=START_STEP,
        latent_height=h,
        latent_width=w,
        scaling_factor=pipeline.vae.config.scaling_factor,
        conventions={
            "names": "MODE.SAMPLER.SCHEDULE[.batch2].latents: final; .x: [steps, pictures, 4, h, w], the latents entering each step",
            "timesteps": "lesson: inverse of the linear interpolation of the training sigmas over integer timesteps; "
            "karras: inverse in log sigma (k-diffusion's sigma_to_t, not quantised)",
            "start": "text2img: x = noise * sigma[0]; img2img: x = z + noise * sigma[start_step], then sigmas[start_step:]",
            "noise": "one CPU generator per picture, seed + i. text2img: start, then ancestral draws. "
            "img2img: VAE distribution, added noise, then ancestral draws",
            "init_picture": " ".join(gradient_picture.__doc__.split()),
            "init_pixels_to_input": "value / 255 * 2 - 1 in f32",
        },
    )
    for schedule in schedules:
        for sampler in SAMPLERS:
            latents, entered = text_to_image(pipeline, sampler, schedule, h, w)
            record.add(f"text2img.{sampler}.{schedule}.latents", latents, whole=True)
            record.add(f"text2img.{sampler}.{schedule}.x", entered, whole=True)
            latents, entered, z = image_to_image(pipeline, sampler, schedule, h, w)
            record.add(f"img2img.{sampler}.{schedule}.latents", latents, whole=True)
            record.add(f"img2img.{sampler}.{schedule}.x", entered, whole=True)
    record.add("img2img.init_latents", z, whole=True)

    latents, entered = text_to_image(pipeline, "euler-a", "lesson", h, w, pictures=2)
    record.add("text2img.euler-a.lesson.batch2.latents", latents, whole=True)
    record.add("text2img.euler-a.lesson.batch2.x", entered, whole=True)

    latents, _ = text_to_image(pipeline, "euler", "lesson", h, w)
    image = pipeline.decode(latents / pipeline.vae.config.scaling_factor)
    record.add("text2img.euler.lesson.image", (image / 2 + 0.5).clamp(0, 1), range="0..1, before rounding to 8 bits")
    if name == "demo":
        record.add("diffusers.image", by_diffusers_alone(folder), range="0..1, before rounding to 8 bits")
    record.write()
