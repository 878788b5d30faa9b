"""What diffusers and transformers make of the settings of a configuration: data/settings.json, data/configurations, data/strengths.

    python configurations.py

`settings.json` has every setting of the four signatures with its default, another value, and what Tidepool does with it:
`read`, `required` (another value is refused) or `free` (it changes nothing here, and why). The script checks by experiment that
diffusers and transformers compute the same with another value of what is free, and something else with one of what is required.

`configurations` has what networks with some settings compute. Their weights are not stored: `randomize` makes them in the order
of the names, from PyTorch's noise.
"""

import gzip
import inspect
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import diffusers
import torch
from diffusers import AutoencoderKL, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from checkpoints import TOKENIZER, unet_name, vae_name
from random_models import randomize
from record import DATA, Record, versions

FREE_TRAINING = "it is of training, and off when pictures are made"
FREE_SAMPLER = "it is of diffusers' sampler, and the user picks one"
FREE_PARTNER = "it has an effect only with another setting, which is refused"

# Another value, and for what is free the reason. What is not here is read.
UNET = {
    "act_fn": "gelu", "addition_embed_type": "text", "attention_type": "gated", "center_input_sample": True,
    "class_embed_type": "timestep", "class_embeddings_concat": True, "conv_in_kernel": 1, "conv_out_kernel": 1,
    "downsample_padding": 0, "dual_cross_attention": True, "encoder_hid_dim": 8, "encoder_hid_dim_type": "text_proj",
    "mid_block_scale_factor": 2, "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "num_attention_heads": 4, "num_class_embeds": 3, "only_cross_attention": [True, False],
    "resnet_time_scale_shift": "scale_shift", "reverse_transformer_layers_per_block": [2, 2], "time_cond_proj_dim": 8,
    "time_embedding_act_fn": "silu", "time_embedding_type": "fourier", "timestep_post_act": "silu",
    "dropout": (0.5, FREE_TRAINING),
    "addition_embed_type_num_heads": (8, FREE_PARTNER), "addition_time_embed_dim": (8, FREE_PARTNER),
    "cross_attention_norm": ("layer_norm", FREE_PARTNER), "mid_block_only_cross_attention": (True, FREE_PARTNER),
    "projection_class_embeddings_input_dim": (8, FREE_PARTNER), "resnet_out_scale_factor": (2.0, FREE_PARTNER),
    "resnet_skip_time_act": (True, FREE_PARTNER),
}
VAE = {
    "act_fn": "gelu", "down_block_types": ["AttnDownEncoderBlock2D", "DownEncoderBlock2D"], "in_channels": 1, "latents_mean": [0.1] * 4,
    "latents_std": [2.0] * 4, "mid_block_add_attention": False, "out_channels": 1, "shift_factor": 0.1,
    "up_block_types": ["AttnUpDecoderBlock2D", "UpDecoderBlock2D"], "use_post_quant_conv": False, "use_quant_conv": False,
    "force_upcast": (False, "the VAE computes in f32 always"),
    "sample_size": (64, "diffusers takes it for the size of tiles; here it is the size of pictures if the UNet says none"),
}
# Only pipelines of other models apply these to the latents. A VAE that has them is one of those.
VAE_UNUSED = ["latents_mean", "latents_std", "shift_factor"]
FREE_IDS = "the tokenizer's files say which tokens these are"
TEXT = {
    "hidden_act": "relu",
    "attention_dropout": (0.5, FREE_TRAINING), "initializer_factor": (2.0, FREE_TRAINING), "initializer_range": (0.5, FREE_TRAINING),
    "projection_dim": (64, "it is of CLIP's comparison of texts with pictures"),
    "bos_token_id": (0, FREE_IDS), "eos_token_id": (1, FREE_IDS), "pad_token_id": (2, FREE_IDS),
}
FREE_FLOW = "it is of models of flows, which another setting says"
SCHEDULER = {
    "beta_schedule": "sigmoid", "prediction_type": "sample", "timestep_type": "continuous", "trained_betas": [0.1, 0.2],
    "use_flow_sigmas": True,
    "flow_shift": (3.0, FREE_FLOW), "shift_terminal": (0.1, FREE_FLOW), "time_shift_type": ("linear", FREE_FLOW),
    "use_dynamic_shifting": (True, FREE_FLOW),
} | {
    name: (value, FREE_SAMPLER)
    for name, value in {
        "algorithm_type": "sde-dpmsolver++", "clip_sample": False, "clip_sample_range": 2.0, "corrector_order": 3, "disable_corrector": [0],
        "dynamic_thresholding_ratio": 0.9, "euler_at_final": True, "final_sigmas_type": "sigma_min", "interpolation_type": "log_linear",
        "lambda_min_clipped": -5.1, "lower_order_final": False, "noise_sampler_seed": 3, "original_inference_steps": 40, "predict_x0": False, "predictor_order": 3,
        "sample_max_value": 2.0, "set_alpha_to_one": False, "sigma_max": 14.0, "sigma_min": 0.1, "skip_prk_steps": True, "solver_order": 3,
        "solver_p": "x", "solver_type": "heun", "steps_offset": 1, "tau_func": "x", "thresholding": True, "timestep_scaling": 5.0,
        "timestep_spacing": "trailing", "use_beta_sigmas": True, "use_exponential_sigmas": True, "use_karras_sigmas": True,
        "use_lu_lambdas": True, "variance_type": "fixed_large",
    }.items()
}
SCHEDULERS = [
    "DDIMInverseScheduler", "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler", "DEISMultistepScheduler",
    "DPMSolverMultistepInverseScheduler", "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler", "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler", "PNDMScheduler", "SASolverScheduler", "TCDScheduler",
    "UniPCMultistepScheduler",
]

# Everything that may be left out is left out.
BASE = {
    "text_encoder": {"num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 2048},  # more words than the built-in model's
    "unet": {
        "block_out_channels": [32, 64], "cross_attention_dim": 512,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    },
    "vae": {
        "block_out_channels": [32, 32], "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
    },
    "scheduler": {},
}
SEEDS = {"text_encoder": 601, "unet": 602, "vae": 603}
DISTILLED = {  # in the shape of bk-sdm-tiny
    "block_out_channels": [32, 32, 64], "layers_per_block": 1, "mid_block_type": None,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3, "up_block_types": ["CrossAttnUpBlock2D"] * 3,
}
CASES = {
    "base": ("unet", {}),
    "without a middle": ("unet", DISTILLED),
    "a middle without attention": ("unet", {"mid_block_type": "UNetMidBlock2D"}),
    "attention on unlike levels": ("unet", {"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
                                            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}),
    "layers of each level": ("unet", {"layers_per_block": [1, 3]}),
    "transformers of each level": ("unet", {"transformer_layers_per_block": [2, 1], "attention_head_dim": [2, 4]}),
    "other frequencies": ("unet", {"flip_sin_to_cos": False, "freq_shift": 1, "time_embedding_dim": 40}),
    "other norms": ("unet", {"norm_eps": 0.1, "norm_num_groups": 4, "use_linear_projection": True, "upcast_attention": True, "act_fn": "swish"}),
    "an odd number of channels": ("unet", {"block_out_channels": [15, 30], "norm_num_groups": 3, "attention_head_dim": 5}),
    # diffusers' converter of single files leaves them so.
    "nulls": ("unet", {"upcast_attention": None, "use_linear_projection": None, "flip_sin_to_cos": None, "dual_cross_attention": None,
                       "center_input_sample": None, "class_embeddings_concat": None}),
    "lists": ("unet", {"cross_attention_dim": [512, 512], "sample_size": [16, 24], "only_cross_attention": [False, False]}),
    "other text norms": ("text_encoder", {"layer_norm_eps": 0.1, "num_attention_heads": 4, "hidden_act": "gelu"}),
    "other layers of the VAE": ("vae", {"layers_per_block": 2, "norm_num_groups": 4, "sample_size": [32, 32], "act_fn": "swish"}),
}
CLASSES = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
PROMPT, TIMESTEP, SEED = "a large fox in the snow", 500.3, 7


def build(part: str, config: dict) -> torch.nn.Module:
    module = CLIPTextModel(CLIPTextConfig(**config)) if part == "text_encoder" else CLASSES[part](**config)
    randomize(module, SEEDS[part])
    return module.eval()


def randn(shape) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(SEED))


@torch.no_grad()
def answer(part: str, module: torch.nn.Module, text: torch.Tensor | None = None) -> torch.Tensor:
    if part == "unet":
        return module(randn((1, 4, 8, 8)), torch.tensor([TIMESTEP]), encoder_hidden_states=text).sample
    if part == "vae":
        return module.decode(randn((1, 4, 8, 8))).sample
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    ids = tokenizer(PROMPT, max_length=77, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return module(ids).last_hidden_state


def weights(module: torch.nn.Module) -> list[str]:
    """Each weight with its shape, in the order in which `randomize` fills them."""
    return [f"{name} {'x'.join(map(str, value.shape))}" for name, value in sorted(module.named_parameters())]


def with_holes(name: str) -> str:
    """Where diffusers' scripts/convert_diffusers_to_original_stable_diffusion.py puts it: as though every level had two layers."""
    if name.startswith("up_blocks.0.attentions."):  # the script knows of none there
        return "model.diffusion_model." + name
    name = unet_name(name, {"down_block_types": DISTILLED["down_block_types"], "layers_per_block": 2})
    return name.replace("output_blocks.2.2.conv", "output_blocks.2.1.conv")


def make_networks() -> None:
    text = answer("text_encoder", build("text_encoder", BASE["text_encoder"]))
    record = Record("configurations", prompt=PROMPT, timestep=TIMESTEP, input_seed=SEED)
    cases = {}
    for case, (part, config) in CASES.items():
        config = BASE[part] | config
        module = build(part, config)
        record.add(case, answer(part, module, text), stride=7 if part == "text_encoder" else 1)
        cases[case] = {"part": part, "config": config, "weights": weights(module)}
    named = [name.split()[0] for name in cases["without a middle"]["weights"]]
    shapes = {"down_block_types": DISTILLED["down_block_types"], "layers_per_block": 1}
    cases["without a middle"]["original"] = [unet_name(name, shapes) for name in named]
    cases["without a middle"]["with_holes"] = [with_holes(name) for name in named]
    base = {part: {"config": config} for part, config in BASE.items()}
    for part in SEEDS:
        module = build(part, BASE[part])
        base[part] |= {"seed": SEEDS[part], "weights": weights(module)}
    base["vae"]["original"] = [vae_name(name.split()[0], BASE["vae"]) for name in base["vae"]["weights"]]
    record.write()
    text = json.dumps({"versions": versions(), "base": base, "cases": cases}, indent=1)
    (DATA / "configurations.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def defaults_of(what) -> dict:
    parameters = inspect.signature(what.__init__).parameters.items()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: value.default for name, value in parameters if name not in ("self", "args", "kwargs") and value.kind in kinds}


def rows_of(defaults: dict, known: dict) -> list[dict]:
    assert not known.keys() - defaults.keys(), known.keys() - defaults.keys()
    rows = []
    for key, default in sorted(defaults.items()):
        default = list(default) if isinstance(default, tuple) else default
        default = None if default == -math.inf else default
        row = {"key": key, "default": default}
        if key not in known:
            rows.append(row | {"kind": "read"})
        elif isinstance(known[key], tuple):
            other, why = known[key]
            rows.append(row | {"kind": "free", "other": other, "why": why})
        else:
            rows.append(row | {"kind": "required", "other": known[key]})
    return rows


def check_by_experiment(part: str, rows: list[dict]) -> None:
    text = answer("text_encoder", build("text_encoder", BASE["text_encoder"]))
    module = build(part, BASE[part])
    expected = answer(part, module, text)
    for row in rows:
        if row["kind"] == "read" or row["key"] in VAE_UNUSED:
            continue
        try:
            other = build(part, BASE[part] | {row["key"]: row["other"]})
            is_same = weights(other) == weights(module) and torch.equal(answer(part, other, text), expected)
        except Exception as error:
            is_same = False
            print(f"{part} {row['key']}: {type(error).__name__}: {str(error)[:80]}")
        assert is_same == (row["kind"] == "free"), (part, row, is_same)


def make_settings() -> None:
    text_only = {"vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads",
                 "max_position_embeddings", "hidden_act", "layer_norm_eps", "attention_dropout", "initializer_range",
                 "initializer_factor", "pad_token_id", "bos_token_id", "eos_token_id"}
    # The rest is of every configuration of transformers, and of no network.
    text = {name: value for name, value in defaults_of(CLIPTextConfig).items() if name in text_only}
    by_class = {name: defaults_of(getattr(diffusers, name)) for name in SCHEDULERS}
    scheduler = {name: value for defaults in by_class.values() for name, value in defaults.items()}
    settings = {
        "unet": rows_of(defaults_of(UNet2DConditionModel), UNET), "vae": rows_of(defaults_of(AutoencoderKL), VAE),
        "text_encoder": rows_of(text, TEXT), "scheduler": rows_of(scheduler, SCHEDULER),
    }
    for part in SEEDS:
        check_by_experiment(part, settings[part])
    read = {row["key"] for row in settings["scheduler"] if row["kind"] == "read"} | {"beta_schedule", "prediction_type"}
    schedulers = {
        name: {key: value for key, value in defaults.items() if key in read} for name, defaults in by_class.items()
    }
    # By class, since they differ.
    for row in settings["scheduler"]:
        if row["key"] in read:
            del row["default"]
    lines = [f' "versions": {json.dumps(versions())}']
    for part, rows in settings.items():
        lines.append(f' "{part}": [\n  ' + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]")
    lines.append(' "schedulers": {\n  ' + ",\n  ".join(f'"{name}": {json.dumps(row)}' for name, row in schedulers.items()) + "\n }")
    (DATA / "settings.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def make_strengths() -> None:
    """How many steps of 1 to 150 the strengths 0.01 to 1.00 run, a row for each strength."""
    scheduler = SimpleNamespace(timesteps=torch.arange(1000), order=1)
    steps_run = StableDiffusionImg2ImgPipeline.get_timesteps
    pipeline = SimpleNamespace(scheduler=scheduler)
    rows = [[steps_run(pipeline, steps, float(f"{hundredths / 100:.2f}"), None)[1] for steps in range(1, 151)] for hundredths in range(1, 101)]
    text = json.dumps({"versions": versions(), "steps_run": rows})
    (DATA / "strengths.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    parts = {"settings": make_settings, "networks": make_networks, "strengths": make_strengths}
    for name in sys.argv[1:] or parts:
        parts[name]()
