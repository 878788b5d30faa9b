"""Sigmas, timesteps and linear-multistep coefficients."""

import torch

from pipeline import SCHEDULES, EpsDenoiser, lms_scheduler, sampling, sigmas_of, train_sigmas
from record import Record

STEPS = [1, 2, 10, 15, 20, 30, 50]
LMS_ORDER = 4


def lms_coefficients(sigmas) -> torch.Tensor:
    """[steps, 4]: row i weighs the derivatives of steps i, i-1, i-2, i-3 (0 where there is none yet). k-diffusion's function."""
    steps = len(sigmas) - 1
    table = torch.zeros(steps, LMS_ORDER)
    for i in range(steps):
        order = min(i + 1, LMS_ORDER)
        for j in range(order):
            table[i, j] = sampling.linear_multistep_coeff(order, sigmas, i, j)
    return table


def make() -> None:
    record = Record(
        "schedules",
        sigmas="[n + 1], the last one 0",
        timesteps="[n]: t(sigma) by the schedule's rule (lesson: inverse linear interpolation; karras: inverse in log sigma)",
        diffusers_timesteps="[n]: what diffusers' scheduler would hand to the UNet",
        lms="[n, 4]: coefficients as k-diffusion computes them, from f32 sigmas (under numpy 2 in f32 arithmetic)",
        lms_f64="[n, 4]: the same function on the same sigmas widened to f64; the better reference",
    )
    record.add("train_sigmas", train_sigmas())
    for schedule in SCHEDULES:
        denoiser = EpsDenoiser(None, schedule)
        for steps in STEPS:
            sigmas = sigmas_of(schedule, steps)
            name = f"{schedule}.{steps}"
            record.add(f"{name}.sigmas", sigmas)
            record.add(f"{name}.timesteps", denoiser.sigma_to_t(sigmas[:-1]))
            if schedule == "lesson":
                scheduler = lms_scheduler()
                scheduler.set_timesteps(steps)
                record.add(f"{name}.diffusers_timesteps", scheduler.timesteps)
            record.add(f"{name}.lms", lms_coefficients(sigmas.numpy()))
            record.add(f"{name}.lms_f64", lms_coefficients(sigmas.double().numpy()))
    record.write()
