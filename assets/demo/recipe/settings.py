"""Every number that decides what the model becomes, and where its parts lie on the disk."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Settings:
    """Steps are optimiser steps. Of each training the last `cooling` steps bring the learning rate down to zero."""

    scenes: int = 64_000  # rendered at 128 x 128
    held_out: int = 512  # the first scenes of the pool: no training sees them
    latent_scenes: int = 40_000  # what the UNet learns from
    tokenizer_captions: int = 20_000

    autoencoder_steps: int = 8_000
    autoencoder_cooling: int = 800

    text_steps: int = 1_200
    text_batch: int = 128

    unet_steps: int = 20_000
    unet_cooling: int = 2_000
    unet_batch: int = 64
    unet_job: int = 16  # samples that one thread works on at a time

    image_steps: int = 400
    image_batch: int = 256
    image_job: int = 128  # pictures and captions that are told apart from one another

    classifier_steps: int = 2_000
    classifier_batch: int = 96

    concept_steps: int = 300
    concept_pictures: int = 64

    judged_captions: int = 1_000
    sampling_steps: int = 30

    checkpoint_secs: float = 600.0
    measured_scenes: int = 48


# All stages in a few minutes: it shows that they work, not that they learn.
TINY = Settings(
    scenes=360,
    held_out=64,
    latent_scenes=240,
    tokenizer_captions=2_000,
    autoencoder_steps=4,
    autoencoder_cooling=2,
    text_steps=4,
    text_batch=32,
    unet_steps=4,
    unet_cooling=2,
    unet_batch=16,
    unet_job=8,
    image_steps=4,
    image_batch=32,
    image_job=16,
    classifier_steps=4,
    classifier_batch=16,
    concept_steps=3,
    concept_pictures=8,
    judged_captions=24,
    sampling_steps=3,
    measured_scenes=8,
)


@dataclass(frozen=True)
class Work:
    """The folder that everything is made in, and how."""

    folder: Path
    settings: Settings = field(default_factory=Settings)
    threads: int = 2

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def start(self, part: str) -> Path | None:
        """Weights to begin from instead of from nothing, if somebody has put them into `start/`."""
        folder = self.folder / "start" / part
        return folder if folder.exists() else None


def write_atomically(path: Path, write) -> None:
    """Call `write(temporary path)`, then rename: a reader finds the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    write(temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text))


def write_array(path: Path, array: np.ndarray) -> None:
    def write(temporary):
        with open(temporary, "wb") as file:
            np.save(file, array)

    write_atomically(path, write)


def save_model(model, folder: Path) -> None:
    """`model.save_pretrained(folder)`, file by file atomically."""
    new = folder.with_name(folder.name + ".part")
    model.save_pretrained(new)
    folder.mkdir(parents=True, exist_ok=True)
    for file in new.iterdir():
        os.replace(file, folder / file.name)
    new.rmdir()
