"""Gradients of every loss, with and without a mask, on each of the three ways, in double precision.

    python tests/golden/loss_gradients.py

The model is `velocity`, widened to doubles. Each gradient is torch's autograd; beside it stands the derivative along one random
direction by central differences of the same function, and the script refuses if the two disagree. Also the random CLIP model
`models/clip` and the classifier `models/classifier.safetensors`, which two losses need, and what the CLIP model makes of a
picture and a text.

`preview` is the loss of the linear preview, whose map is fitted here as Tidepool fits it; `decoder` takes the predicted noise as
constant; `unet` goes through decoder, UNet and guidance.
"""

import json
import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional
from torchvision.io import write_png
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from guidance import LUMA, PALETTE, Differentiable
from pipeline import gradient_picture, sigmas_of
from random_models import randomize
from record import DATA, Record

MODELS = Path(__file__).parent / "models"
PROMPT, GUIDANCE, SEED, STEPS, STRENGTH = "a large fox in the snow", 7.5, 32, 4, 0.75
LATENTS = (1, 4, 8, 12)
TEXT = "a red fox, at night"
DIRECTION_SEED, STEP = 5, 1e-6
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
CLIP = {
    "projection_dim": 24,
    "text_config": {
        "vocab_size": 764, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 77, "hidden_act": "quick_gelu", "bos_token_id": 762, "eos_token_id": 763, "pad_token_id": 763,
    },
    "vision_config": {
        "hidden_size": 40, "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 5, "image_size": 32,
        "patch_size": 8, "hidden_act": "quick_gelu",
    },
}  # fmt: skip
LABELS = ["fox", "lamp", "sea"]


def randn(seed, shape):
    """As Tidepool draws it: in f32."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float32).double()


def resize(x, height, width):
    return functional.interpolate(x, (height, width), mode="bilinear", antialias=True)


def mean(x, w):
    return (x * w).sum() / (w.sum() * x.shape[1])


def luma(p):
    return (p * LUMA).sum(1, keepdim=True)


def deviation(variance):
    return (variance + 1e-6).sqrt()


def palette(p, w):
    colors = torch.tensor(PALETTE).double() / 255
    distances = ((p[:, None] - colors[None, :, :, None, None]) ** 2).sum(2)
    return mean((torch.softmax(-distances / 0.04, 1) * distances).sum(1, keepdim=True), w)


def contrast(p, w):
    middle = mean(luma(p), w)
    return (deviation(mean((luma(p) - middle) ** 2, w)) - 0.35) ** 2


def symmetry(*axes):
    return lambda p, w: mean((p - p.flip(axes)) ** 2, w * w.flip(axes))


def smoothness(p, w):
    return mean(p.diff(dim=2).abs(), w[..., 1:, :] * w[..., :-1, :]) + mean(p.diff(dim=3).abs(), w[..., 1:] * w[..., :-1])


def tile(p, w):
    down = mean((p[:, :, :1] - p[:, :, -1:]) ** 2, w[:, :, :1] * w[:, :, -1:])
    return down + mean((p[..., :1] - p[..., -1:]) ** 2, w[..., :1] * w[..., -1:])


def match(picture):
    height, width = picture.shape[2:]
    return lambda p, w: mean((resize(p, height, width) - picture) ** 2, resize(w, height, width))


class Clip:
    """Outside the mask a picture has the mean colour of CLIP's training."""

    def __init__(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(MODELS / "velocity/tokenizer", folder)
        model = CLIPModel(CLIPConfig(**CLIP)).eval()
        randomize(model, 401)
        tensors = {name: value.half().contiguous() for name, value in model.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "model.safetensors").chmod(0o644)
        (folder / "config.json").write_text(json.dumps({"architectures": ["CLIPModel"], "model_type": "clip", **CLIP}, indent=2) + "\n")
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float64).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, pad_token="<|endoftext|>")

    def pixels(self, p, w):
        side = self.model.config.vision_config.image_size
        return resize((p - MEAN) * w, side, side) / STD

    def both(self, pixels):
        ids = self.tokenizer(TEXT, max_length=77, padding="max_length", truncation=True, return_tensors="pt").input_ids
        out = self.model(input_ids=ids, pixel_values=pixels, attention_mask=None)
        return out.text_embeds[0], out.image_embeds[0]

    def of_text(self, p, w):
        text, picture = self.both(self.pixels(p, w))
        return 1 - text @ picture

    def like(self, other):
        with torch.no_grad():
            _, other = self.both(self.pixels(other, torch.ones_like(other[:, :1])))
        return lambda p, w: 1 - other @ self.both(self.pixels(p, w))[1]


class Classifier:
    """Convolutions of 3 x 3 and stride 2 with ReLU, the mean of all places, a linear layer."""

    def __init__(self, path):
        torch.manual_seed(402)
        convolutions = [torch.nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in [(3, 8), (8, 12)]]
        linear = torch.nn.Linear(12, len(LABELS))
        for part in [*convolutions, linear]:
            randomize(part, 403)
        tensors = {f"conv.{i}.{key}": value for i, part in enumerate(convolutions) for key, value in part.state_dict().items()}
        tensors |= {f"linear.{key}": value for key, value in linear.state_dict().items()}
        save_file({key: value.float() for key, value in tensors.items()}, path, metadata={"labels": json.dumps(LABELS)})
        path.chmod(0o644)
        self.tensors = {key: value.detach().float().double() for key, value in tensors.items()}

    def of(self, label):
        def loss(p, w):
            x = (p - 0.5) * w * 2
            for i in range(2):
                x = functional.conv2d(x, self.tensors[f"conv.{i}.weight"], self.tensors[f"conv.{i}.bias"], stride=2, padding=1).relu()
            logits = x.mean((2, 3)) @ self.tensors["linear.weight"].T + self.tensors["linear.bias"]
            return -torch.log_softmax(logits, 1)[0, LABELS.index(label)]

        return loss


def preview_map(pipeline):
    """The colours of latents: least squares between what the autoencoder encodes and decodes of waves of colour."""
    side = 16 * pipeline.vae_factor
    at = torch.arange(side, dtype=torch.float32) / side
    y, x = at[:, None], at[None, :]
    wave = lambda v: (127.5 + 127.5 * (2 * math.pi * v).sin()).to(torch.uint8).double()  # noqa: E731
    waves = torch.stack([wave(x + 0.3 * y), wave(1.7 * y - 0.4 * x), wave(x * y * 2.3 + 0.6)])
    with torch.no_grad():
        latents = pipeline.vae.encode(waves[None] / 127.5 - 1).latent_dist.mean
        decoded = (pipeline.vae.decode(latents).sample / 2 + 0.5)
    small = functional.avg_pool2d(decoded * 2 - 1, pipeline.vae_factor) / 2 + 0.5
    inputs = (latents * pipeline.vae.config.scaling_factor)[0].flatten(1).T
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], 1)
    gram = inputs.T @ inputs + 1e-6 * len(inputs) * torch.eye(inputs.shape[1])
    return torch.linalg.solve(gram, inputs.T @ small.clamp(0, 1)[0].flatten(1).T)


def main():
    torch.set_default_dtype(torch.float64)
    pipeline = Differentiable(MODELS / "velocity")
    for part in [pipeline.unet, pipeline.vae, pipeline.text_encoder]:
        part.double().requires_grad_(False)
    denoiser = pipeline.denoiser(PROMPT, "", GUIDANCE, "lesson")
    colors = preview_map(pipeline)
    sigmas = sigmas_of("lesson", STEPS).double()
    height, width = LATENTS[2] * pipeline.vae_factor, LATENTS[3] * pipeline.vae_factor

    start = gradient_picture(height, width)
    write_png(start.permute(2, 0, 1), str(DATA / "pictures/gradient_24x16.png"))
    start = start.permute(2, 0, 1)[None].double() / 255
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    mask = (255 * torch.exp(-(((x - 7) / 16) ** 2 + ((y - 9) / 9) ** 2))).round()
    small = (255 * torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(9))).round()
    clip, classifier = Clip(MODELS / "clip"), Classifier(MODELS / "classifier.safetensors")

    losses = {
        "channel:blue=0.9": lambda p, w: mean((p[:, 2:] - 0.9).abs(), w),
        "palette:#1d3557+#e63946+#f1faee": palette,
        "brightness=0.3": lambda p, w: (mean(luma(p), w) - 0.3) ** 2,
        "contrast=0.35": contrast,
        "saturation=0.2": lambda p, w: (mean(deviation(p.var(1, unbiased=False, keepdim=True)), w) - 0.2) ** 2,
        "symmetry:left-right": symmetry(3),
        "symmetry:up-down": symmetry(2),
        "symmetry:rotation": symmetry(2, 3),
        "smoothness": smoothness,
        "tile": tile,
        "picture": match(small[None] / 255),
        "region": lambda p, w: mean((p - resize(start, *p.shape[2:])) ** 2, w),
        "clip": clip.of_text,
        "clip-picture": clip.like(small[None] / 255),
        "classifier:lamp": classifier.of("lamp"),
    }
    record = Record(
        "loss_gradients",
        settings={"prompt": PROMPT, "guidance": GUIDANCE, "seed": SEED, "steps": STEPS, "strength": STRENGTH, "text": TEXT,
                  "width": width, "height": height, "direction_seed": DIRECTION_SEED},
        losses=list(losses),
        names="LOSS.THROUGH[.masked].loss, .grad, and .along: the derivative along randn(direction_seed)",
    )  # fmt: skip
    record.add("mask", mask)
    record.add("picture", small)
    direction = randn(DIRECTION_SEED, LATENTS)
    for name, loss in losses.items():
        generator = torch.Generator().manual_seed(SEED)
        draw = lambda: torch.randn(LATENTS, generator=generator, dtype=torch.float32).double()  # noqa: E731, B023
        if name == "region":
            sigma = sigmas[1]
            latents = pipeline.vae.encode(start * 2 - 1).latent_dist
            x = (latents.mean + (0.5 * latents.logvar).exp() * draw()) * pipeline.vae.config.scaling_factor + sigma * draw()
        else:
            sigma = sigmas[0]
            x = sigma * draw()
        with torch.no_grad():
            x0 = denoiser(x, sigma[None])
        decode = lambda x0: pipeline.vae.decode(x0 / pipeline.vae.config.scaling_factor).sample / 2 + 0.5  # noqa: E731
        ways = {
            "preview": (x0, lambda x0: torch.einsum("bchw,cr->brhw", x0, colors[:-1]) + colors[-1].view(1, 3, 1, 1)),
            "decoder": (x0, decode),
            "unet": (x, lambda x: decode(denoiser(x, sigma[None]))),  # noqa: B023
        }
        for through, (at, picture) in ways.items():
            for is_masked in [False, True]:
                shape = (height, width) if through != "preview" else LATENTS[2:]
                w = torch.ones(1, 1, *shape)
                if is_masked:
                    # A mask is resized by area and kept in bytes.
                    w = (functional.adaptive_avg_pool2d(mask[None, None], shape) + 0.5).floor() / 255
                function = lambda at: loss(picture(at), w)  # noqa: E731, B023
                point = at.clone().requires_grad_()
                value = function(point)
                (gradient,) = torch.autograd.grad(value, point)
                with torch.no_grad():
                    along = (function(at + STEP * direction) - function(at - STEP * direction)) / (2 * STEP)
                apart = ((gradient * direction).sum() - along).abs() / gradient.norm()
                key = f"{name}.{through}" + ".masked" * is_masked
                print(f"{key}: loss {value.item():.4f}, gradient {gradient.norm():.3g}, differences {apart:.1e} apart")
                assert apart < 1e-5, key
                record.add(f"{key}.loss", value.detach())
                record.add(f"{key}.grad", gradient, whole=True)
                record.add(f"{key}.along", along)
    picture = randn(7, (1, 3, 32, 32)).requires_grad_()
    text, of_picture = clip.both(picture)
    (gradient,) = torch.autograd.grad(text @ of_picture, picture)
    record.add("clip.text", text)
    record.add("clip.picture", of_picture)
    record.add("clip.grad", gradient, whole=True)
    record.write()


if __name__ == "__main__":
    main()
