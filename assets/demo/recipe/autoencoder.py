"""Stage `autoencoder`: encoder and decoder together, 128 x 128 x 3 to 16 x 16 x 4 and back.

The loss is L1, L1 of gradients at two scales, and a little MSE, all of it weighted by where the subjects are; and a tiny KL
term. A step has jobs of equal cost: whole pictures, and four crops of 64 x 64 each, mostly around subjects, where the
detail is.
"""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from pool import SIDE, Pool
from settings import Work, save_model
from training import fast_norm
from training.loop import generators, train, trapezoid
from training.muon import Muon

LEARNING_RATE = 9e-4
SUBJECT_WEIGHT = 3.0
CROP = 64
JOBS, WHOLE, WHOLE_WHILE_COOLING = 10, 4, 7


def new_model() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[32, 64, 128, 128],
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
    )


def gradient_difference(d, weight):
    """The weighted mean of horizontal and of vertical differences of `d`."""
    horizontal = ((d[..., 1:] - d[..., :-1]).abs() * weight[..., 1:]).mean()
    return horizontal + ((d[:, :, 1:] - d[:, :, :-1]).abs() * weight[:, :, 1:]).mean()


def reconstruction_loss(y, x, weight):
    d = y - x
    halved = gradient_difference(F.avg_pool2d(d, 2), F.avg_pool2d(weight, 2))
    l1, mse = (d.abs() * weight).mean(), (d.pow(2) * weight).mean()
    return l1 + 0.5 * gradient_difference(d, weight) + 0.4 * halved + 2 * mse


def around_subjects(x, masks, rng):
    """A crop of each picture and of its mask, which has a quarter of the side."""
    crops, crop_masks, cells = [], [], CROP // 4
    for picture, mask in zip(x, masks):
        inside = np.argwhere(mask > 0.5)
        if len(inside) and rng.random() < 0.8:
            corner = inside[rng.integers(len(inside))]
        else:
            corner = rng.integers(0, 32, 2)
        top, left = (int(np.clip(c - 8 + rng.integers(-4, 5), 0, 32 - cells)) for c in corner)
        crops.append(picture[:, 4 * top : 4 * top + CROP, 4 * left : 4 * left + CROP])
        crop_masks.append(mask[top : top + cells, left : left + cells])
    return torch.stack(crops), np.stack(crop_masks)


def mean_ssim(a, b) -> float:
    """Wang et al. (2004) on grey pictures from 0 to 1, with an 11 x 11 Gaussian window."""
    window = torch.exp(-(torch.arange(-5, 6).float() ** 2) / 4.5)
    window = (window[:, None] * window)[None, None]
    window = window / window.sum()
    grey = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    a, b = (a * grey).sum(1, True), (b * grey).sum(1, True)

    def local_mean(x):
        return F.conv2d(x, window)

    mean_a, mean_b = local_mean(a), local_mean(b)
    var_a, var_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    return (numerator / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))).mean().item()


@torch.no_grad()
def round_trip(model, pool: Pool, count: int) -> dict:
    """PSNR and SSIM of the first scenes, over all and by style."""
    psnr, ssim = [], []
    for i in range(0, count, 4):
        x = pool.tensor(slice(i, min(i + 4, count)))
        y = model(x).sample.clamp(-1, 1)
        psnr += (-10 * ((x - y) / 2).pow(2).mean((1, 2, 3)).log10()).tolist()
        ssim += [mean_ssim(a[None] / 2 + 0.5, b[None] / 2 + 0.5) for a, b in zip(x, y)]
    result = {"n": count, "psnr": round(float(np.mean(psnr)), 2), "ssim": round(float(np.mean(ssim)), 4)}
    styles = np.array([facts["style"] for facts in pool.facts[:count]])
    for style in dict.fromkeys(styles.tolist()):
        result[style] = round(float(np.mean(np.array(psnr)[styles == style])), 1)
    return result


def make(work: Work) -> None:
    torch.manual_seed(1)
    pool = Pool(work)
    settings = work.settings
    start = work.start("vae")
    model = AutoencoderKL.from_pretrained(start) if start else new_model()
    model = model.float().train().to(memory_format=torch.channels_last)
    named = list(model.named_parameters())
    parameters = [p for _, p in named]
    optimizer = Muon(named, LEARNING_RATE)
    fast_norm.install(model, work.folder)

    def job(whole, seed):
        rng, generator = generators(1, seed)
        index = rng.integers(settings.held_out, len(pool), 1 if whole else 4)
        x, masks = pool.tensor(index), np.array(pool.masks[index], "float32") / 255
        if not whole:
            x, masks = around_subjects(x, masks, rng)
        mask = torch.from_numpy(masks)[:, None].repeat_interleave(4, 2).repeat_interleave(4, 3)
        if rng.random() < 0.5:
            x, mask = x.flip(3), mask.flip(3)
        x = x.contiguous(memory_format=torch.channels_last)
        weight = (1 + (SUBJECT_WEIGHT - 1) * mask) / 1.8
        with torch.autocast("cpu", torch.bfloat16):
            posterior = model.encode(x).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator)
            y = model.decode(posterior.mean + posterior.std * noise).sample
        y, mean, log_variance = y.float(), posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
        loss = reconstruction_loss(y, x, weight) + 1e-4 * kl
        log = {"loss": loss.item(), "l1": (y - x).abs().mean().item(), "std": mean.std().item()}
        return torch.autograd.grad(loss, parameters), log, len(x)

    steps, cooling = settings.autoencoder_steps, settings.autoencoder_cooling

    def plan(step):
        whole = WHOLE if step < steps - cooling else WHOLE_WHILE_COOLING
        return [True] * whole + [False] * (JOBS - whole)

    train(
        "autoencoder",
        work,
        parameters,
        optimizer,
        job,
        plan,
        lambda: round_trip(model, pool, settings.measured_scenes),
        lambda folder: save_model(model, folder),
        steps=steps,
        schedule=trapezoid(steps, cooling),
    )
