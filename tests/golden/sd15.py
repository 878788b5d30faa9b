"""Checks the engine at full size: a Stable Diffusion 1.5 with random weights, rendered by Tidepool and by diffusers in f32.

    python tests/golden/sd15.py [--steps 1] [--size 256x256] [--tidepool target/release/tidepool] [--keep FOLDER]

Prints max|difference| / max|reference| for each quantity and exits with 1 if one of them is above the limit. Needs about 8 GB of
memory and 4 GB of disk. With `lesson`, one step means the single sigma of timestep 0 (0.029); more steps begin at 14.6.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import diffusers
import torch
import transformers
from safetensors.torch import load_file

from clip_vocabulary import write_tokenizer
from pipeline import Pipeline, randn, sampling, sigmas_of
from random_models import write_model

REPOSITORY = Path(__file__).resolve().parents[2]
PROMPT, NEGATIVE, GUIDANCE, SEED, LIMIT = "a puppy", "", 7.5, 32, 1e-3

SD15 = {
    "seed": 15,
    "text_encoder": {
        "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 768,
        "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407,
    },
    "unet": {
        "sample_size": 64, "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "attention_head_dim": 8,
        "cross_attention_dim": 768, "norm_num_groups": 32, "use_linear_projection": False,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    },
    "vae": {
        "sample_size": 512, "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32,
        "latent_channels": 4, "scaling_factor": 0.18215,
        "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
    },
}


def write_sd15(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as tokenizer:
        write_tokenizer(Path(tokenizer))
        write_model(SD15, folder, Path(tokenizer))


def render_ours(tidepool: Path, folder: Path, steps: int, width: int, height: int) -> dict[str, torch.Tensor]:
    with tempfile.TemporaryDirectory() as out:
        trace = Path(out) / "trace.safetensors"
        command = [tidepool, "render", PROMPT, "--model", folder, "--steps", steps, "--size", f"{width}x{height}", "--seed", SEED]
        command += ["--cfg", GUIDANCE, "--sampler", "euler", "--schedule", "lesson", "--device", "cpu", "--trace", trace]
        command += ["-o", Path(out) / "out.png"]
        subprocess.run(list(map(str, command)), check=True)
        return load_file(trace)


def render_reference(folder: Path, steps: int, width: int, height: int) -> dict[str, torch.Tensor]:
    pipeline = Pipeline(folder)
    sigmas = sigmas_of("lesson", steps)
    trace = {"sigmas": sigmas, "cond": pipeline.encode_text(PROMPT), "uncond": pipeline.encode_text(NEGATIVE)}

    def observe(step):
        trace[f"x.{step['i']}"] = step["x"].clone()
        trace[f"denoised.{step['i']}"] = step["denoised"].clone()

    x = randn(SEED, (1, 4, height // 8, width // 8)) * sigmas[0]
    denoiser = pipeline.denoiser(PROMPT, NEGATIVE, GUIDANCE, "lesson")
    trace["latents"] = sampling.sample_euler(denoiser, x, sigmas, callback=observe, disable=True)
    image = pipeline.decode(trace["latents"] / pipeline.vae.config.scaling_factor)
    trace["image"] = (image / 2 + 0.5).clamp(0, 1)
    return trace


def compare(ours: dict, reference: dict) -> bool:
    """Prints a line for each quantity; true if all of them are within the limit."""
    good = True
    for name, expected in reference.items():
        if name not in ours:
            print(f"{name:12} missing from the trace")
            good = False
            continue
        found = ours[name].float()
        if found.numel() != expected.numel():
            print(f"{name:12} has shape {list(found.shape)}, expected {list(expected.shape)}")
            good = False
            continue
        error = ((found.flatten() - expected.flatten()).abs().max() / expected.abs().max()).item()
        within = error <= LIMIT  # false for NaN
        good &= within
        print(f"{name:12} {error:.2e}{'' if within else f'  above {LIMIT:g}'}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--size", default="256x256", help="WIDTHxHEIGHT, multiples of 8")
    parser.add_argument("--tidepool", type=Path, default=REPOSITORY / "target/release/tidepool")
    parser.add_argument("--keep", type=Path, help="write the model here and keep it; use it if it is there already")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if not arguments.tidepool.is_file():
        parser.error(f"build it first with `cargo build --release`: there is no {arguments.tidepool}")
    width, height = map(int, arguments.size.split("x"))
    torch.set_num_threads(arguments.threads)
    transformers.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary) / "sd15-random"
        if not (folder / "model_index.json").exists():
            write_sd15(folder)
        ours = render_ours(arguments.tidepool, folder, arguments.steps, width, height)
        reference = render_reference(folder, arguments.steps, width, height)
    sys.exit(0 if compare(ours, reference) else 1)


if __name__ == "__main__":
    main()
