"""Times Tidepool against diffusers in f32 on the same cores, turn and turn about.

    python tests/golden/compare_speed.py [--rounds 3] [--threads 2] [--tidepool target/release/tidepool] [--only sd15|demo] [--guided]

Two contests: one guided step at Stable Diffusion 1.5's shapes (256x256, so a UNet call on two 4x32x32 latents) with its text
encoding and decoding, and a whole picture from the demo model (128x128, 20 steps of Euler, guidance 7.5). Each round runs ours,
then theirs. A ratio below 1 means that ours is faster.

With --guided the contests are steps that a loss of the decoded picture guides: `decoder` takes its gradient through the decoder,
`unet` also through the UNet and guidance.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from statistics import median

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from pipeline import Pipeline, randn, sampling, sigmas_of
from sd15 import REPOSITORY, SD15


def seconds(work, times: int) -> float:
    """Median of some runs, after one that warms up."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return median(taken)


def bench_ours(tidepool: Path, threads: int, model: str, size: str, steps: int, *options: str) -> dict[str, float]:
    command = [tidepool, "bench", "--model", model, "--size", size, "--steps", steps, "--device", "cpu", "--json", *options]
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)


class Sd15:
    """diffusers' networks at SD 1.5's shapes; their weights do not matter for time."""

    model, size, steps, fields = "sd15-random", "256x256", 3, ["text_encode_secs", "step_secs", "decode_secs"]

    def __init__(self):
        self.text_encoder = CLIPTextModel(CLIPTextConfig(**SD15["text_encoder"])).eval()
        self.unet = UNet2DConditionModel(**SD15["unet"]).eval()
        self.vae = AutoencoderKL(**SD15["vae"]).eval()
        self.ids = torch.full((2, 77), 49407)
        self.text = randn(1, (2, 77, 768))
        self.x = randn(2, (1, 4, 32, 32))

    def step(self):
        sigma, sigma_next = 14.6, 7.8
        scaled = (self.x / (sigma**2 + 1) ** 0.5).expand(2, -1, -1, -1)
        eps_u, eps_c = self.unet(scaled, 999, encoder_hidden_states=self.text).sample.chunk(2)
        return self.x + (eps_u + 7.5 * (eps_c - eps_u)) * (sigma_next - sigma)

    @torch.inference_mode()
    def bench(self) -> dict[str, float]:
        return {
            "text_encode_secs": seconds(lambda: self.text_encoder(self.ids), 3),
            "step_secs": seconds(self.step, self.steps),
            "decode_secs": seconds(lambda: self.vae.decode(self.x), 2),
        }


class Guided:
    """One guided step of the other contests' networks: the lesson's `blue_loss`, and its gradient by autograd."""

    fields = ["ordinary", "decoder", "unet"]

    def __init__(self, of):
        self.model, self.size = of.model, of.size
        networks = of.pipeline if isinstance(of, Demo) else of
        self.unet, self.vae = networks.unet.requires_grad_(False), networks.vae.requires_grad_(False)
        width = self.unet.config.cross_attention_dim
        self.text = randn(1, (2, 77, width))
        side = int(of.size.split("x")[0]) // 8
        self.x = randn(2, (1, 4, side, side))

    def denoised(self, x, sigma):
        scaled = (x / (sigma**2 + 1) ** 0.5).expand(2, -1, -1, -1)
        eps_u, eps_c = self.unet(scaled, 500, encoder_hidden_states=self.text).sample.chunk(2)
        return x - sigma * (eps_u + 7.5 * (eps_c - eps_u))

    def loss(self, x0):
        picture = self.vae.decode(x0 / self.vae.config.scaling_factor).sample / 2 + 0.5
        return (picture[:, 2] - 0.9).abs().mean()

    @torch.no_grad()
    def ordinary(self):
        return self.denoised(self.x, 1.0)

    def decoder(self):
        x0 = self.ordinary().requires_grad_()
        return torch.autograd.grad(self.loss(x0), x0)

    def through_unet(self):
        x = self.x.clone().requires_grad_()
        return torch.autograd.grad(self.loss(self.denoised(x, 1.0)), x)

    def bench(self) -> dict[str, float]:
        times = 3 if self.model == "sd15-random" else 9
        steps = {"ordinary": self.ordinary, "decoder": self.decoder, "unet": self.through_unet}
        return {name: seconds(step, times) for name, step in steps.items()}

    def bench_ours(self, arguments) -> dict[str, float]:
        def step_secs(*options: str) -> float:
            steps = 3 if self.model == "sd15-random" else 9
            bench = bench_ours(arguments.tidepool, arguments.threads, self.model, self.size, steps, "--repeat", "1", *options)
            return bench["step_secs"]

        guide = "channel:blue=0.9,every=1,through="
        guided = {name: step_secs("--guide", guide + name) for name in ["decoder", "unet"]}
        return {"ordinary": step_secs(), **guided}


class Demo:
    """A whole warm picture: two prompts encoded, 20 steps, decoded, rounded to 8 bits."""

    model, size, steps, fields = "demo", "128x128", 20, ["generate_secs"]

    def __init__(self):
        self.pipeline = Pipeline(REPOSITORY / "assets/demo")

    def generate(self):
        sigmas = sigmas_of("lesson", self.steps)
        denoiser = self.pipeline.denoiser("a large fox in the snow", "", 7.5, "lesson")
        latents = sampling.sample_euler(denoiser, randn(32, (1, 4, 16, 16)) * sigmas[0], sigmas, disable=True)
        image = self.pipeline.decode(latents / self.pipeline.vae.config.scaling_factor)
        return ((image / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)

    @torch.inference_mode()
    def bench(self) -> dict[str, float]:
        return {"generate_secs": seconds(self.generate, 3)}


def contest(theirs, arguments) -> None:
    ours_runs, their_runs = [], []
    for _ in range(max(3, arguments.rounds)):
        if not arguments.theirs_only:
            ours_runs.append(
                theirs.bench_ours(arguments)
                if isinstance(theirs, Guided)
                else bench_ours(arguments.tidepool, arguments.threads, theirs.model, theirs.size, theirs.steps)
            )
        their_runs.append(theirs.bench())
    print(f"{theirs.model}, {theirs.size}, {arguments.threads} threads, medians of {len(their_runs)} runs")
    for field in theirs.fields:
        their_secs = median(run[field] for run in their_runs)
        if arguments.theirs_only:
            print(f"  {field:17} diffusers {their_secs:.3f} s")
            continue
        our_secs = median(run[field] for run in ours_runs)
        print(f"  {field:17} tidepool {our_secs:.3f} s   diffusers {their_secs:.3f} s   ratio {our_secs / their_secs:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="at least 3")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tidepool", type=Path, default=REPOSITORY / "target/release/tidepool")
    parser.add_argument("--only", choices=["sd15", "demo"])
    parser.add_argument("--guided", action="store_true", help="time guided steps")
    parser.add_argument("--theirs-only", action="store_true", help="time diffusers alone")
    arguments = parser.parse_args()
    if not arguments.theirs_only and not arguments.tidepool.is_file():
        parser.error(f"build it first with `cargo build --release`: there is no {arguments.tidepool}")
    if hasattr(os, "sched_setaffinity"):  # both sides get the same cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    torch.set_num_threads(arguments.threads)
    transformers.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    for name, kind in [("demo", Demo), ("sd15", Sd15)]:
        if arguments.only in (None, name):
            contest(Guided(kind()) if arguments.guided else kind(), arguments)


if __name__ == "__main__":
    main()
