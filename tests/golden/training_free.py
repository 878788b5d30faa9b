"""Training-free guidance (Ye et al., 2024, algorithm 1) around the lesson's step, in double precision with torch's autograd.

    python tests/golden/training_free.py

Three guides at once, one for each way of the gradient. What the paper calls variance guidance is the one through the UNet; mean
guidance, which the iterations repeat, are those through the decoder and the preview. Before each recurrence an Euler step is
taken to the next noise level and fresh noise added. The noise of step i is of the seed SEED + 1000003 (i + 1): that of the smoothing, then for each
recurrence the fresh noise and again that of the smoothing.

Then the same on the denoiser in closed form of `analytic.py`, with mean guidance alone.
"""

import torch

from analytic import SHAPE, denoise
from guidance import Differentiable
from loss_gradients import GUIDANCE, LATENTS, MODELS, PROMPT, SEED, luma, palette, preview_map
from pipeline import sigmas_of
from record import Record

STEPS = 3
SD1_LATENT_RGB = [[0.3512, 0.2297, 0.3227], [0.3250, 0.4974, 0.2350], [-0.2829, 0.1762, 0.2721], [-0.2120, -0.2616, -0.7177]]  # ComfyUI's
OPTIONS = [
    {},
    {"recurrence": 3},
    {"iterations": 3},
    {"smoothing": 0.4, "samples": 2},
    {"clip": 0.02},
    {"recurrence": 2, "iterations": 2, "smoothing": 0.2, "samples": 3, "clip": 0.05},
]
GUIDES = [("channel:blue=0.9", "unet", 3.0), ("brightness=0.3", "decoder", 4.0), ("palette:#1d3557+#e63946+#f1faee", "preview", 2.0)]
ANALYTIC_STEPS = 10
ANALYTIC_GUIDES = [("brightness=0.3", "preview", 0.4), ("palette:#1d3557+#e63946+#f1faee", "preview", 0.2)]


def gradient(loss, at):
    at = at.detach().requires_grad_()
    return torch.autograd.grad(loss(at), at)[0]


def run(denoiser, of_unet, of_x0, shape, sigmas, options):
    """The final latents, and what moved x in the first step, over sigma^2. `of_unet` is the scaled loss whose gradient goes back
    through the denoiser, if there is one, and `of_x0` that whose gradient does not."""
    recurrence, iterations = options.get("recurrence", 1), options.get("iterations", 1)
    smoothing, clip = options.get("smoothing", 0.0), options.get("clip")
    x = torch.randn(shape, generator=torch.Generator().manual_seed(SEED), dtype=torch.float32).double() * sigmas[0]
    for i in range(len(sigmas) - 1):
        sigma, following = sigmas[i], sigmas[i + 1]
        generator = torch.Generator().manual_seed(SEED + 1000003 * (i + 1))
        draw = lambda: torch.randn(shape, generator=generator, dtype=torch.float32).double()  # noqa: E731, B023

        def limited(g):
            moved = sigma * g.square().mean().sqrt()  # noqa: B023
            return g if clip is None else g * torch.clamp(clip / moved, max=1.0)

        def move(x, denoised):
            spread = smoothing * sigma / (1 + sigma**2).sqrt()  # noqa: B023
            offsets = [draw() * spread for _ in range(options["samples"])] if smoothing else [torch.zeros(())]  # noqa: B023
            smooth = lambda loss: lambda x0: sum(loss(x0 + offset) for offset in offsets) / len(offsets)  # noqa: E731
            total = limited(gradient(lambda x: smooth(of_unet)(denoiser(x, sigma[None])), x)) if of_unet else 0  # noqa: B023
            moved = torch.zeros_like(x)
            for _ in range(iterations):
                moved = moved + limited(gradient(smooth(of_x0), denoised - sigma**2 * moved))  # noqa: B023
            return sigma**2 * (total + moved)  # noqa: B023

        entered = x
        for again in range(recurrence):
            if again:
                eps = (x - denoised) / sigma
                x = denoised + following * eps + (sigma**2 - following**2).sqrt() * draw()
            with torch.no_grad():
                denoised = denoiser(x, sigma[None])
            moved = move(x, denoised)
            x, denoised = x - moved, denoised - moved
        if i == 0:
            first = (entered - x) / sigma**2
        x = x + (x - denoised) / sigma * (following - sigma)
    return x, first


def write(record, denoiser, of_unet, of_x0, shape, sigmas):
    for index, options in enumerate(OPTIONS):
        x, first = run(denoiser, of_unet, of_x0, shape, sigmas, options)
        record.add(f"{index}.grad.0", first, whole=True)
        record.add(f"{index}.latents", x, whole=True)
        print(index, options, x.norm().item())
    record.write()


def on_networks():
    pipeline = Differentiable(MODELS / "velocity")
    for part in [pipeline.unet, pipeline.vae, pipeline.text_encoder]:
        part.double().requires_grad_(False)
    denoiser = pipeline.denoiser(PROMPT, "", GUIDANCE, "lesson")
    colors = preview_map(pipeline)

    def decode(x0):
        return pipeline.vae.decode(x0 / pipeline.vae.config.scaling_factor).sample / 2 + 0.5

    def of_unet(x0):
        return 3.0 * (decode(x0)[:, 2] - 0.9).abs().mean()

    def of_x0(x0):
        preview = torch.einsum("bchw,cr->brhw", x0, colors[:-1]) + colors[-1].view(1, 3, 1, 1)
        return 4.0 * (luma(decode(x0)).mean() - 0.3) ** 2 + 2.0 * palette(preview, torch.ones(1, 1, *LATENTS[2:]))

    record = Record("training_free", steps=STEPS, guides=GUIDES, options=OPTIONS, names="INDEX.latents; INDEX.grad.0: what moved x")
    write(record, denoiser, of_unet, of_x0, LATENTS, sigmas_of("lesson", STEPS).double())


def on_the_mixture():
    """With the preview of Stable Diffusion 1's latents."""
    colors = torch.tensor(SD1_LATENT_RGB) / 2

    def of_x0(x0):
        preview = torch.einsum("bchw,cr->brhw", x0, colors) + 0.5
        return 0.4 * (luma(preview).mean() - 0.3) ** 2 + 0.2 * palette(preview, torch.ones(1, 1, *SHAPE[2:]))

    sigmas = sigmas_of("karras", ANALYTIC_STEPS)
    record = Record(
        "training_free_analytic", guides=ANALYTIC_GUIDES, options=OPTIONS, sigmas=sigmas.tolist(), names="as in training_free"
    )
    write(record, denoise, None, of_x0, SHAPE, sigmas.double())


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    on_networks()
    on_the_mixture()
