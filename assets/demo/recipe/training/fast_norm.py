"""GroupNorm and SiLU in one C++ function, for bf16 in channels-last order on a CPU.

PyTorch's backward pass of GroupNorm took a quarter of a training step. The function is compiled by g++ for this processor
when it is first needed; without g++, or on a GPU, PyTorch's own is used. Weights and saved models stay as they are.
"""

import functools
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

SOURCE = Path(__file__).with_name("fast_norm.cpp")


@functools.cache
def extension(folder: Path):
    """The compiled function, or None where it cannot be had."""
    library = folder / "fast_norm.so"
    if not library.exists():
        if shutil.which("g++") is None:
            return None
        torch_folder = Path(torch.__file__).parent
        includes = [
            torch_folder / "include",
            torch_folder / "include/torch/csrc/api/include",
            sysconfig.get_paths()["include"],
        ]
        flags = "-O3 -march=native -mprefer-vector-width=512 -ffast-math -std=c++17 -shared -fPIC -w"
        libraries = "-ltorch -ltorch_cpu -lc10 -ltorch_python -lmvec -lm"
        command = ["g++", *flags.split(), "-DTORCH_EXTENSION_NAME=fast_norm", *(f"-I{i}" for i in includes)]
        command += [str(SOURCE), f"-L{torch_folder}/lib", *libraries.split(), "-o", f"{library}.part"]
        if subprocess.run(command).returncode != 0:
            print("fast_norm.cpp does not compile here: PyTorch's GroupNorm is used", flush=True)
            return None
        os.replace(f"{library}.part", library)
    spec = importlib.util.spec_from_file_location("fast_norm", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FusedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, cpp, x, weight, bias, groups, eps, silu):
        y, statistics = cpp.forward(x, weight, bias, groups, eps, silu)
        ctx.save_for_backward(x, weight, bias, statistics)
        ctx.cpp, ctx.groups, ctx.silu = cpp, groups, silu
        return y

    @staticmethod
    def backward(ctx, dy):
        dy = dy.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        return None, *ctx.cpp.backward(dy, *ctx.saved_tensors, ctx.groups, ctx.silu), None, None, None


def fuse(norm: nn.GroupNorm, silu: bool, cpp) -> None:
    """Let `norm` also apply SiLU, and be fast in bf16."""

    def forward(x):
        if cpp is not None and x.dtype == torch.bfloat16 and x.dim() == 4 and x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
            return FusedNorm.apply(cpp, x, norm.weight, norm.bias, norm.num_groups, norm.eps, silu)
        y = F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return F.silu(y) if silu else y

    norm.forward = forward


def install(model: nn.Module, folder: Path) -> None:
    """Fuse the norms of a diffusers model's residual blocks and of its output."""
    from diffusers.models.resnet import ResnetBlock2D

    cpp = extension(folder)
    for module in model.modules():
        if isinstance(module, ResnetBlock2D):
            # A UNet's block applies SiLU to the time embedding too, so there it stays outside.
            silu = module.time_emb_proj is None
            fuse(module.norm1, silu, cpp)
            fuse(module.norm2, silu, cpp)
            if silu:
                module.nonlinearity = nn.Identity()
        if isinstance(getattr(module, "conv_norm_out", None), nn.GroupNorm):
            fuse(module.conv_norm_out, True, cpp)
            module.conv_act = nn.Identity()
