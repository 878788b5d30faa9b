"""Every schedule, and every sampler on a denoiser that is known in closed form, in double precision.

    python tests/golden/analytic.py

Sigmas and timesteps are k-diffusion's where it has the schedule; `simple` and `beta` follow ComfyUI's definitions,
`ddim-uniform` diffusers' "leading" timesteps with an offset of 1.

Options other than a sampler's or schedule's own are in the names: `euler-a.karras.eta0.5`, `lms.lesson.order2`. Optimisers as
samplers (`sgd`, `adam`, `adamw`) are those of `torch.optim`: see `run_optimiser`.

Runs have 10 steps. Every number of x is drawn from one Gaussian mixture (`MIXTURE`), whose perfect denoiser is its posterior
mean. Start noise and then the noise of the steps, in call order, come from one CPU generator, drawn in f32.
"""

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, LCMScheduler, PNDMScheduler, UniPCMultistepScheduler
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm, scheduling_lcm
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
ADAM = {"betas": (0.3, 0.999), "eps": 10.0}
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

SOLVERS = {"dpm-fast": sampling.sample_dpm_fast, "dpm-adaptive": sampling.sample_dpm_adaptive}
OPTIMISERS = {  # with the learning rate, which counts in sigmas, and its arguments
    "sgd": (torch.optim.SGD, 0.25, {}),
    "adam": (torch.optim.Adam, 0.3 * (1 + ADAM["eps"]), ADAM),
    "adamw": (torch.optim.AdamW, 0.3 * (1 + ADAM["eps"]), ADAM | {"weight_decay": 0.001}),
}
ETAS = [0.0, 0.5]
BETA_SETS = [  # of diffusers, unlike Stable Diffusion's
    ("scaled_linear", 0.0001, 0.02, 500),
    ("linear", 0.00085, 0.012, 1000),
    ("linear", 0.0001, 0.02, 400),
    ("squaredcos_cap_v2", 0.00085, 0.012, 300),
]


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


def run(sampler: str, sigmas: torch.Tensor, model=denoise, noise=None, **options) -> torch.Tensor:
    noise = noise or Noise()
    x = noise.draw() * sigmas[0]
    if sampler in DETERMINISTIC:
        return DETERMINISTIC[sampler](model, x, sigmas, disable=True, **options)
    return STOCHASTIC[sampler](model, x, sigmas, disable=True, noise_sampler=noise.draw, **options)


def run_solver(sampler: str, sigmas: torch.Tensor, model=denoise, noise=None, eta=0.0):
    """k-diffusion's DPM-Solver from the first sigma to the last above 0, then that noise removed by one prediction. Also the
    sigmas that it visited."""
    noise = noise or Noise()
    x = noise.draw() * sigmas[0]
    ends = sigmas[-2].item(), sigmas[0].item()
    visited = []
    # `fast` tells where a step starts, `adaptive` where it ended; one that was not accepted ended where it started.
    see = lambda info: visited.append(info["sigma"].item())  # noqa: E731
    draw = lambda *_: noise.draw() if eta else torch.zeros_like(x)  # noqa: E731
    options = {"disable": True, "eta": eta, "noise_sampler": draw, "callback": see}
    if sampler == "dpm-fast":
        x = SOLVERS[sampler](model, x, *ends, len(sigmas) - 1, **options)
        visited.append(ends[0])
    else:
        visited.append(ends[1])
        x = SOLVERS[sampler](model, x, *ends, **options)
    return model(x, sigmas[-2] * x.new_ones([len(x)])), torch.tensor(list(dict.fromkeys(visited)))


def run_optimiser(sampler: str, sigmas: torch.Tensor, model=denoise, noise=None, stop_below=0.03, **changed):
    """The predicted noise is the gradient. What is left of it, which sets the learning rate of the next step, is the root mean
    square of x less the last prediction. Ends with the last prediction, after `len(sigmas) - 1` of them or when little is left.
    Also the sigmas that it visited."""
    optimiser, rate, options = OPTIMISERS[sampler]
    x = torch.nn.Parameter((noise or Noise()).draw() * sigmas[0])
    rate = changed.pop("rate", rate)
    optimiser = optimiser([x], **options | changed)
    sigma, visited = sigmas[0], []
    for step in range(len(sigmas) - 1):
        visited.append(float(sigma))
        denoised = model(x.data, sigma * x.data.new_ones([len(x)]))
        if (x.data - denoised).square().mean().sqrt() <= stop_below or step == len(sigmas) - 2:
            return denoised, torch.tensor(visited)
        x.grad = (x.data - denoised) / sigma
        optimiser.param_groups[0]["lr"] = rate * sigma
        optimiser.step()
        sigma = torch.minimum(sigmas[0], (x.data - denoised).square().mean().sqrt())


def run_diffusers(sampler: str, sigmas: torch.Tensor, model=denoise, noise=None, **options) -> torch.Tensor:
    """A scheduler knows only whole timesteps, so its table is given the sigmas of the run at those it visits. It counts in
    variance-preserving x, which is x / sqrt(1 + sigma^2)."""
    noise = noise or Noise()
    for module in [scheduling_ddim, scheduling_ddpm, scheduling_lcm]:
        module.randn_tensor = lambda *_, **__: noise.draw()
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
        eps = (x_hat - model(x_hat, sigma * x.new_ones([len(x)]))) / sigma
        x = scheduler.step(eps, t, x, **options).prev_sample
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
        for sampler in SOLVERS:
            end, visited = run_solver(sampler, sigmas)
            record.add(f"{sampler}.{schedule}", end)
            record.add(f"{sampler}.{schedule}.visited", visited)
        for sampler in OPTIMISERS:
            end, visited = run_optimiser(sampler, sigmas)
            record.add(f"{sampler}.{schedule}", end)
            record.add(f"{sampler}.{schedule}.visited", visited)
    record.write()
    make_options()


def make_options() -> None:
    record = Record(
        "options",
        names="SAMPLER.SCHEDULE.OPTION: the end of 10 steps; SCHEDULE.RHO.STEPS.sigmas; train_sigmas.KIND.START.END.STEPS",
    )
    for schedule in ["lesson", "karras"]:
        sigmas = sigmas_of(schedule, 10).float().double()
        for eta in ETAS:
            for sampler in STOCHASTIC:
                record.add(f"{sampler}.{schedule}.eta{eta}", run(sampler, sigmas, eta=eta))
        for eta in [0.5, 1.0]:
            record.add(f"ddim.{schedule}.eta{eta}", run_diffusers("ddim", sigmas, eta=eta))
            for sampler in SOLVERS:
                end, visited = run_solver(sampler, sigmas, eta=eta)
                record.add(f"{sampler}.{schedule}.eta{eta}", end)
                record.add(f"{sampler}.{schedule}.eta{eta}.visited", visited)
        for order in [1, 2, 3, 4]:
            record.add(f"lms.{schedule}.order{order}", run("lms", sigmas, order=order))
    sigmas = sigmas_of("lesson", 10).float().double()
    for sampler, name, changed in [
        ("sgd", "learning-rate0.15.momentum0.4", {"rate": 0.15, "momentum": 0.4}),
        ("sgd", "weight-decay0.05", {"weight_decay": 0.05}),
        ("adam", "momentum0.9", {"betas": (0.9, 0.999)}),
        ("adam", "weight-decay0.05", {"weight_decay": 0.05}),
        ("adamw", "weight-decay0.005", {"weight_decay": 0.005}),
        ("sgd", "stop-below1", {"stop_below": 1.0}),
    ]:
        end, visited = run_optimiser(sampler, sigmas, **changed)
        record.add(f"{sampler}.lesson.{name}", end)
        record.add(f"{sampler}.lesson.{name}.visited", visited)
    ends = table().sigma_min.item(), table().sigma_max.item()
    for rho in [1.0, 3.0, 12.0]:
        record.add(f"karras.rho{rho}.10.sigmas", sampling.get_sigmas_karras(10, *ends, rho=rho))
    for rho in [0.5, 2.0]:
        record.add(f"polyexponential.rho{rho}.10.sigmas", sampling.get_sigmas_polyexponential(10, *ends, rho=rho))
    for kind, start, end, steps in BETA_SETS:
        scheduler = DDIMScheduler(num_train_timesteps=steps, beta_schedule=kind, beta_start=start, beta_end=end)
        trained = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5
        record.add(f"train_sigmas.{kind}.{start}.{end}.{steps}", trained)
    record.write()


if __name__ == "__main__":
    make()
