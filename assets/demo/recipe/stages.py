"""The stages in their order. `./make` calls this in an environment of its own."""

import argparse
import importlib
import os
import shutil
import time
from pathlib import Path

from settings import TINY, Settings, Work, write_text

STAGES = [
    "art",
    "pool",
    "tokenizer",
    "autoencoder",
    "latents",
    "text_encoder",
    "unet",
    "image_encoder",
    "classifier",
    "concepts",
    "export",
    "judge",
]


def run(stage: str, work: Work) -> None:
    if stage == "art":
        from world import art

        art.fetch(work / "art")
    else:
        importlib.import_module(stage).make(work)


def forget(stage: str, work: Work) -> None:
    """What `stage` has made, and how far it was."""
    (work / "done" / stage).unlink(missing_ok=True)
    (work / "checkpoints" / f"{stage}.pt").unlink(missing_ok=True)
    for folder in (stage, f"checkpoints/{stage}", "latent_chunks" if stage == "latents" else stage):
        if (work / folder).is_dir():
            shutil.rmtree(work / folder)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make", description="Make the built-in model from nothing, or go on.")
    parser.add_argument("--work", type=Path, required=True, help="the folder that everything is made in")
    parser.add_argument("--tiny", action="store_true", help="a few scenes and a few steps of every stage")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2, help="threads (default: all)")
    parser.add_argument("--again", choices=STAGES, metavar="STAGE", help="make this stage and all after it again")
    parser.add_argument("--until", choices=STAGES, metavar="STAGE", help="stop after this stage")
    options = parser.parse_args()

    import torch

    from world import art

    torch.set_num_threads(1)  # the stages share their work among threads themselves
    settings = TINY if options.tiny else Settings()
    work = Work(options.work.resolve(), settings, options.threads)
    work.folder.mkdir(parents=True, exist_ok=True)
    art.use_folder(work / "art")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    if options.again:
        for stage in STAGES[STAGES.index(options.again) :]:
            forget(stage, work)
    for stage in STAGES:
        done = work / "done" / stage
        if not done.exists():
            started = time.time()
            print(f"== {stage}", flush=True)
            run(stage, work)
            write_text(done, f"{time.time() - started:.0f} s\n")
        if stage == options.until:
            break
    print(f"The model is in {work / 'model'}, its measures are in {work / 'judge'}.")


if __name__ == "__main__":
    main()
