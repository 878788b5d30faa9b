"""Stage `pool`: render all scenes once, and read them afterwards."""

import json
from functools import cached_property
from multiprocessing import Pool as Processes

import numpy as np
import torch

from settings import Work, write_atomically
from world import art
from world.scenes import scene
from world.words import STYLES, SUBJECTS

SIDE = 128
CHUNK = 500


class Pool:
    def __init__(self, work: Work):
        self.images = np.load(work / "pool.npy", mmap_mode="r")  # (n, 128, 128, 3) bytes
        self.masks = np.load(work / "pool_masks.npy", mmap_mode="r")  # (n, 32, 32) bytes: where the subjects are
        self.work = work

    @cached_property
    def captions(self) -> list[str]:
        return [caption for caption, _ in self._described]

    @cached_property
    def facts(self) -> list[dict]:
        return [facts for _, facts in self._described]

    @cached_property
    def _described(self):
        return json.loads((self.work / "pool.json").read_text())

    def __len__(self):
        return len(self.images)

    def tensor(self, index) -> torch.Tensor:
        """Pictures (n, 3, 128, 128) from -1 to 1, channels last."""
        x = torch.from_numpy(np.array(self.images[index])).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        return x.contiguous(memory_format=torch.channels_last)


def render_chunk(job):
    """Scenes `first` to `last`, into files of their own so that a cut loses little."""
    work, first, last = job
    name = work / "chunks" / f"{first:06}.npz"
    if not name.exists():
        scenes = [scene(seed) for seed in range(first, last)]

        def write(path):
            with open(path, "wb") as file:
                np.savez(
                    file,
                    images=np.stack([np.asarray(image) for image, *_ in scenes]),
                    masks=np.stack([np.asarray(mask) for *_, mask in scenes]),
                    described=json.dumps([(caption, facts) for _, caption, facts, _ in scenes]),
                )

        write_atomically(name, write)
    return name


def make(work: Work) -> None:
    count = work.settings.scenes
    # Drawn before the processes part, so that they share them.
    for subject in SUBJECTS:
        for style in STYLES:
            art.master(subject, style)
    images = np.lib.format.open_memmap(work / "pool.part.npy", "w+", "uint8", (count, SIDE, SIDE, 3))
    masks = np.lib.format.open_memmap(work / "pool_masks.part.npy", "w+", "uint8", (count, SIDE // 4, SIDE // 4))
    described = []
    jobs = [(work, first, min(count, first + CHUNK)) for first in range(0, count, CHUNK)]
    with Processes(work.threads) as processes:
        for number, name in enumerate(processes.imap(render_chunk, jobs)):
            chunk = np.load(name)
            first = number * CHUNK
            images[first : first + CHUNK], masks[first : first + CHUNK] = chunk["images"], chunk["masks"]
            described += json.loads(str(chunk["described"]))
            if number % 50 == 49:
                print(f"pool: {len(described)} scenes", flush=True)
    images.flush()
    masks.flush()
    (work / "pool.part.npy").rename(work / "pool.npy")
    (work / "pool_masks.part.npy").rename(work / "pool_masks.npy")
    write_atomically(work / "pool.json", lambda path: path.write_text(json.dumps(described)))
    for name in (work / "chunks").iterdir():
        name.unlink()
    (work / "chunks").rmdir()
