"""Every schedule, and every sampler on a denoiser that is known in closed form, in double precision.

    python tests/golden/analytic.py

Sigmas and timesteps are k-diffusion's where it has the schedule; `simple` and `beta` follow ComfyUI's definitions,
`ddim-uniform` diffusers' "leading" timesteps with an offset of 1.

Runs have 10 steps. Every number of x is drawn from one Gaussian mixture (`MIXTURE`), whose perfect denoiser is its posterior
mean. Start noise and then the noise of the steps, in call order, come from one CPU generator, drawn in f32.
"""

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, LCMScheduler, PNDMScheduler, UniPCMultistepScheduler
from diffusers.schedulers import scheduling_ddpm, scheduling_lcm
from scipy import stats

from pipeline import BETAS, external, lms_scheduler, sampling, train_sigmas
from record import Record

STEPS = [1, 2, 10, 15, 20, 30, 38, 50]
MIXTURE = {"weights": [0.5, 0.3, 0.2], "means": [-1.0, 0.4, 1.5], "stds": [0.3, 0.2, 0.4]}
SEED = 32
SHAPE = (1, 4, 4, 4)

LEADING = {**BETAS, "timestep_spacing": "leading", "steps_offset": 1}
ADAPTED = {  # diffusers' schedulers for what k-diffusion lacks
    "ddim": lambda: DDIMScheduler(**LEADING, clip_sample=False),
    "ddpm": lambda: DDPMScheduler(**LEADING, clip_sample=False, variance_type="fixed_small"),
    "plms": lambda: PNDMScheduler(**LEADING, skip_prk_steps=True, set_alpha_to_one=True),
    # The scaling makes its boundary condition vanish, as it all but does at a real model's timesteps.
    "lcm": lambda: LCMScheduler(**LEADING, clip_sample=False, timestep_scaling=1e9),
    "unipc": lambda: UniPCMultistepScheduler(**LEADING, solver_order=2, final_sigmas_type="zero"),
}
DETERMINISTIC = {
    "euler": sampling.sample_euler,
    "heun": sampling.sample_heun,
    "dpm2": sampling.sample_dpm_2,
    "lms": sampling.sample_lms,
    "dpmpp-2m": sampling.sample_dpmpp_2m,
}
STOCHASTIC = {
    "euler-a": sampling.sample_euler_ancestral,
    "dpm2-a": sampling.sample_dpm_2_ancestral,
    "dpmpp-2s-a": sampling.sample_dpmpp_2s_ancestral,
    "dpmpp-sde": sampling.sample_dpmpp_sde,
    "dpmpp-2m-sde": sampling.sample_dpmpp_2m_sde,
    "dpmpp-3m-sde": sampling.sample_dpmpp_3m_sde,
}


def table() -> external.DiscreteSchedule:
    """The training sigmas (f32 values, held in f64), with k-diffusion's interpolation."""
    return external.DiscreteSchedule(train_sigmas().double(), quantize=False)


def cosine_train_sigmas() -> torch.Tensor:
    scheduler = DDIMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
    return ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5


def sigmas_of(schedule: str, n: int) -> torch.Tensor:
    trained = table()
    ends = n, trained.sigma_min.item(), trained.sigma_max.item()
    top = len(trained.sigmas) - 1

    def at(timesteps):
        return sampling.append_zero(trained.t_to_sigma(torch.as_tensor(np.array(timesteps, dtype=np.float64))))

    if schedule == "lesson":
        scheduler = lms_scheduler()
        scheduler.set_timesteps(n)
        return scheduler.sigmas.double()
    if schedule == "normal":
        return trained.get_sigmas(n)
    if schedule == "karras":
        return sampling.get_sigmas_karras(*ends)
    if schedule == "exponential":
        return sampling.get_sigmas_exponential(*ends)
    if schedule == "polyexponential":
        return sampling.get_sigmas_polyexponential(*ends, rho=1.0)
    if schedule == "sgm-uniform":
        return at(np.linspace(top, 0, n + 1)[:-1])
    if schedule == "simple":
        return at([top - int(i * ((top + 1) / n)) for i in range(n)])
    if schedule == "ddim-uniform":
        scheduler = DDIMScheduler(**LEADING)
        scheduler.set_timesteps(n)
        return at(scheduler.timesteps.numpy())
    if schedule == "beta":
        return at(np.rint(stats.beta.ppf(1 - np.linspace(0, 1, n, endpoint=False), 0.6, 0.6) * top))
    raise ValueError(schedule)


SCHEDULES = [
    "lesson", "normal", "karras", "exponential", "polyexponential", "sgm-uniform", "simple", "ddim-uniform", "beta",
]  # fmt: skip


def denoise(x, sigma, **_):
    """The mean of what x can have been, given that sigma's noise was added."""
    weights, means, stds = (torch.tensor(MIXTURE[name]) for name in ["weights", "means", "stds"])
    sigma = torch.as_tensor(sigma).reshape(-1)[0]
    variance = stds**2 + sigma**2
    offset = x[..., None] - means
    likelihood = weights / variance.sqrt() * (-(offset**2) / (2 * variance)).exp()
    share = likelihood / likelihood.sum(-1, keepdim=True)
    return (share * (means + stds**2 / variance * offset)).sum(-1)


class Noise:
    def __init__(self):
        self.generator = torch.Generator().manual_seed(SEED)

    def draw(self, *_):
        return torch.randn(SHAPE, generator=self.generator, dtype=torch.float32).double()


def run(sampler: str, sigmas: torch.Tensor) -> torch.Tensor:
    noise = Noise()
    x = noise.draw() * sigmas[0]
    if sampler in DETERMINISTIC:
        return DETERMINISTIC[sampler](denoise, x, sigmas, disable=True)
    return STOCHASTIC[sampler](denoise, x, sigmas, disable=True, noise_sampler=noise.draw)


def run_diffusers(sampler: str, sigmas: torch.Tensor) -> torch.Tensor:
    """A scheduler knows only whole timesteps, so its table is given the sigmas of the run at those it visits. It counts in
    variance-preserving x, which is x / sqrt(1 + sigma^2)."""
    noise = Noise()
    scheduling_ddpm.randn_tensor = scheduling_lcm.randn_tensor = lambda *_, **__: noise.draw()
    steps = len(sigmas) - 1
    scheduler = ADAPTED[sampler]()
    if sampler == "lcm":
        leading = [1 + (1000 // steps) * i for i in reversed(range(steps))]
        scheduler.set_timesteps(timesteps=leading, original_inference_steps=1000)
    else:
        scheduler.set_timesteps(steps)
    timesteps = list(dict.fromkeys(scheduler.timesteps.tolist()))  # plms visits one twice
    scheduler.alphas_cumprod = torch.full([1000], torch.nan)
    scheduler.alphas_cumprod[timesteps] = 1 / (1 + sigmas[:-1] ** 2)
    if sampler == "unipc":
        scheduler.sigmas = sigmas
    x = noise.draw() * sigmas[0] / (1 + sigmas[0] ** 2).sqrt()
    for t in scheduler.timesteps:
        sigma = sigmas[timesteps.index(t)]
        x_hat = x * (1 + sigma**2).sqrt()
        eps = (x_hat - denoise(x_hat, sigma)) / sigma
        x = scheduler.step(eps, t, x).prev_sample
    return x


def make() -> None:
    torch.set_default_dtype(torch.float64)
    record = Record(
        "analytic",
        mixture=MIXTURE,
        seed=SEED,
        shape=SHAPE,
        names="SCHEDULE.STEPS.sigmas, .timesteps (of all sigmas but the final 0); SAMPLER.SCHEDULE: the end of 10 steps",
        sigmas="runs walk the recorded sigmas, rounded to f32",
    )
    record.add("cosine_train_sigmas", cosine_train_sigmas())
    trained = table()
    for schedule in SCHEDULES:
        for steps in STEPS:
            sigmas = sigmas_of(schedule, steps)
            record.add(f"{schedule}.{steps}.sigmas", sigmas)
            if schedule != "lesson":
                record.add(f"{schedule}.{steps}.timesteps", trained.sigma_to_t(sigmas[:-1]))
        sigmas = sigmas_of(schedule, 10).float().double()
        for sampler in [*DETERMINISTIC, *STOCHASTIC]:
            record.add(f"{sampler}.{schedule}", run(sampler, sigmas))
        for sampler in ADAPTED:
            record.add(f"{sampler}.{schedule}", run_diffusers(sampler, sigmas))
    record.write()


if __name__ == "__main__":
    make()
