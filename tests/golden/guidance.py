"""Guidance by a loss, as fast.ai's lesson does it, with torch's autograd on diffusers' networks.

    python tests/golden/guidance.py

Every guided step: the loss of the predicted picture, its gradient with respect to x, `x = x - scale * gradient * sigma^2`, and
then the sampler's ordinary step with the same predicted noise. `decoder` takes the predicted noise as constant, as the lesson
does; `unet` goes back through the UNet and guidance too.

Pictures are in 0..1 and not clamped. Gradients are those of `scale * loss`; losses are without the scale.
"""

from pathlib import Path

import torch

from pipeline import Pipeline, randn, sampling, sigmas_of
from record import Record

DEMO = Path(__file__).parents[2] / "assets/demo"
PALETTE = [(0x1D, 0x35, 0x57), (0xE6, 0x39, 0x46), (0xF1, 0xFA, 0xEE)]
LUMA = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)


def palette(picture):
    colors = torch.tensor(PALETTE, dtype=torch.float32) / 255
    distances = ((picture[:, None] - colors[None, :, :, None, None]) ** 2).sum(2)
    return (torch.softmax(-distances / 0.04, 1) * distances).sum(1).mean()


def luma(picture):
    return (picture * LUMA).sum(1)


LOSSES = {
    "channel:blue=0.9": (200, lambda p: (p[:, 2] - 0.9).abs().mean()),
    "palette:#1d3557+#e63946+#f1faee": (500, palette),
    "brightness=0.3": (500, lambda p: (luma(p).mean() - 0.3) ** 2),
    "contrast=0.3": (1000, lambda p: ((luma(p).var(unbiased=False) + 1e-6).sqrt() - 0.3) ** 2),
    "saturation=0.2": (1000, lambda p: ((p.var(1, unbiased=False) + 1e-6).sqrt().mean() - 0.2) ** 2),
    "symmetry:left-right": (1000, lambda p: torch.nn.functional.mse_loss(p, torch.fliplr(p[0].permute(1, 2, 0)).permute(2, 0, 1)[None])),
    "symmetry:rotation": (1000, lambda p: torch.nn.functional.mse_loss(p, torch.rot90(p, 2, [2, 3]))),
    "smoothness": (200, lambda p: p.diff(dim=2).abs().mean() + p.diff(dim=3).abs().mean()),
    "tile": (500, lambda p: ((p[:, :, 0] - p[:, :, -1]) ** 2).mean() + ((p[..., 0] - p[..., -1]) ** 2).mean()),
}


class Differentiable(Pipeline):
    def eps(self, x_scaled, t, text):
        return self.unet(x_scaled, t, encoder_hidden_states=text).sample


def run(pipeline, size, loss, scale, through, *, prompt, guidance, seed, steps, every, sampler):
    """The final latents; of each guided step its index, loss and gradient."""
    sigmas = sigmas_of("lesson", steps)
    x = randn(seed, (1, 4, *size)) * sigmas[0]
    denoiser = pipeline.denoiser(prompt, "", guidance, "lesson")
    guided, derivatives = [], []
    for i in range(steps):
        sigma = sigmas[i]
        x = x.detach().requires_grad_()
        with torch.set_grad_enabled(through == "unet" and i % every == 0):
            denoised = denoiser(x, sigma[None])
        if i % every == 0:
            eps = (x - denoised).detach() / sigma
            x0 = denoised if through == "unet" else x - sigma * eps
            picture = pipeline.vae.decode(x0 / pipeline.vae.config.scaling_factor).sample / 2 + 0.5
            value = loss(picture)
            (gradient,) = torch.autograd.grad(value * scale, x)
            guided.append((i, value.detach(), gradient))
            with torch.no_grad():
                x = x - gradient * sigma**2
                denoised = x - sigma * eps
        with torch.no_grad():
            derivatives.append((x - denoised) / sigma)
            if sampler == "euler":
                x = x + derivatives[-1] * (sigmas[i + 1] - sigma)
            else:
                order = min(i + 1, 4)
                weights = [sampling.linear_multistep_coeff(order, sigmas.numpy(), i, j) for j in range(order)]
                x = x + sum(w * d for w, d in zip(weights, reversed(derivatives)))
    return x.detach(), guided


def main():
    torch.manual_seed(0)
    small = {"prompt": "a large fox in the snow", "guidance": 7.5, "seed": 32, "steps": 4, "every": 2, "sampler": "euler"}
    lesson = {"prompt": "A campfire (oil on canvas)", "guidance": 8.0, "seed": 32, "steps": 10, "every": 5, "sampler": "lms"}
    runs = []
    for name, (scale, loss) in LOSSES.items():
        for model in ["demo", "velocity"]:
            runs.append((model, name, scale, loss, "decoder", small))
    for model in ["demo", "velocity"]:
        runs.append((model, "channel:blue=0.9", 200, LOSSES["channel:blue=0.9"][1], "unet", small))
    for through in ["decoder", "unet"]:
        runs.append(("demo", "channel:blue=0.9", 200, LOSSES["channel:blue=0.9"][1], through, lesson))

    folders = {"demo": DEMO, "velocity": Path(__file__).parent / "models/velocity"}
    pipelines = {name: Differentiable(folder) for name, folder in folders.items()}
    sizes = {"demo": (8, 8), "velocity": (8, 12)}
    record = Record("guidance", runs={})
    for index, (model, name, scale, loss, through, settings) in enumerate(runs):
        latents, guided = run(pipelines[model], sizes[model], loss, scale, through, **settings)
        record.sidecar["runs"][str(index)] = {"model": model, "loss": name, "scale": scale, "through": through, **settings}
        record.add(f"{index}.latents", latents, whole=True)
        for step, value, gradient in guided:
            record.add(f"{index}.loss.{step}", value)
            record.add(f"{index}.grad.{step}", gradient, whole=True)
        print(index, model, name, through, [round(value.item(), 4) for _, value, _ in guided])
    record.write()


if __name__ == "__main__":
    main()
