"""Makes the golden data under `data/`, all of it or the parts that are named.

    python tests/golden/make.py [PART ...] [--models NAME ...] [--demo FOLDER] [--threads N]

Parts: noise, schedules, tokens, models (the three random models), networks, trajectories, samplers.
"""

import argparse
from pathlib import Path

import diffusers
import torch
import transformers

import networks
import noise
import random_models
import samplers
import schedules
import tokens
import trajectories

HERE = Path(__file__).resolve().parent
PARTS = ["noise", "schedules", "tokens", "models", "networks", "trajectories", "samplers"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--models", nargs="+", metavar="NAME", help="networks and trajectories of these models alone")
    parser.add_argument("--demo", type=Path, default=HERE.parents[1] / "assets/demo")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    parts = arguments.parts or PARTS
    torch.set_num_threads(arguments.threads)
    transformers.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()

    if "noise" in parts:
        noise.make()
    if "schedules" in parts:
        schedules.make()
    if "tokens" in parts:
        tokens.make(arguments.demo)
    if "samplers" in parts:
        samplers.make(arguments.demo)
    models = HERE / "models"
    if "models" in parts:
        for name, description in random_models.MODELS.items():
            random_models.write_model(description, models / name)
    folders = {"demo": arguments.demo, **{name: models / name for name in random_models.MODELS}}
    for name in arguments.models or folders:
        if "networks" in parts:
            networks.make(name, folders[name])
        if "trajectories" in parts:
            trajectories.make(name, folders[name])


if __name__ == "__main__":
    main()
