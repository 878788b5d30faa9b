"""Stage `latents`: encode scenes once, so that the UNet's training needs no autoencoder."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from diffusers import AutoencoderKL

from pool import Pool
from settings import Work, write_array

CHUNK = 1_000


def load(work: Work) -> np.ndarray:
    """(n, 8, 16, 16) f16: four channels of means, four of deviations."""
    return np.load(work / "latents.npy", mmap_mode="r")


def make(work: Work) -> None:
    pool = Pool(work)
    count = min(work.settings.latent_scenes, len(pool))
    model = AutoencoderKL.from_pretrained(work / "autoencoder").eval().to(memory_format=torch.channels_last)

    @torch.no_grad()
    def encode_chunk(first):
        name = work / "latent_chunks" / f"{first:06}.npy"
        if name.exists():
            return np.load(name)
        last = min(first + CHUNK, count)
        parts = []
        for i in range(first, last, 4):
            with torch.autocast("cpu", torch.bfloat16):
                posterior = model.encode(pool.tensor(slice(i, min(i + 4, last)))).latent_dist
            parts.append(torch.cat([posterior.mean, posterior.std], 1).half().numpy())
        chunk = np.concatenate(parts)
        write_array(name, chunk)
        print(f"latents: {last} scenes", flush=True)
        return chunk

    with ThreadPoolExecutor(work.threads) as threads:
        latents = np.concatenate(list(threads.map(encode_chunk, range(0, count, CHUNK))))

    write_array(work / "latents.npy", latents)
    for name in (work / "latent_chunks").iterdir():
        name.unlink()
    (work / "latent_chunks").rmdir()


def scaling_factor(latents: np.ndarray) -> float:
    """What gives the means a deviation of one."""
    return float(1 / np.array(latents[::20, :4], "float32").std())
