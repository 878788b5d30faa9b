"""Every sampler on the built-in model: the final latents of 10 steps on the `lesson` schedule, run as `analytic.py` runs them.

Prompt, guidance and seed are those of `trajectories.py`. Noise is one CPU generator: the start, then each draw of the sampler.
"""

import torch

import analytic
from pipeline import Pipeline, sigmas_of
from record import Record
from trajectories import LATENT_SIZES, SETTINGS, NoiseStream

SCHEDULE = "lesson"


class Noise(NoiseStream):
    """For callers that say between which sigmas."""

    def draw(self, *_) -> torch.Tensor:
        return super().draw()


def run(sampler: str, denoiser, sigmas: torch.Tensor, noise: Noise) -> torch.Tensor:
    if sampler in analytic.ADAPTED:
        return analytic.run_diffusers(sampler, sigmas, denoiser, noise)
    if sampler in analytic.SOLVERS:
        return analytic.run_solver(sampler, sigmas, denoiser, noise)[0]
    if sampler in analytic.OPTIMISERS:
        return analytic.run_optimiser(sampler, sigmas, denoiser, noise)[0]
    return analytic.run(sampler, sigmas, denoiser, noise)


def make(folder) -> None:
    pipeline = Pipeline(folder)
    denoiser = pipeline.denoiser(SETTINGS["prompt"], SETTINGS["negative"], SETTINGS["guidance"], SCHEDULE)
    sigmas = sigmas_of(SCHEDULE, SETTINGS["steps"])
    record = Record("demo-samplers", settings=SETTINGS, schedule=SCHEDULE, names="SAMPLER: the final latents")
    samplers = [
        *analytic.DETERMINISTIC, *analytic.STOCHASTIC, *analytic.SOLVERS, *analytic.ADAPTED, *analytic.OPTIMISERS,
    ]  # fmt: skip
    for sampler in samplers:
        noise = Noise(SETTINGS["seed"], 1, *LATENT_SIZES["demo"])
        record.add(sampler, run(sampler, denoiser, sigmas, noise))
    record.write()
