#!/usr/bin/env python3
"""What a guided step and a decode of Stable Diffusion 1.5 at 512 x 512 may take on GPUs that nobody has measured yet.

A model, not a measurement: every layer's arithmetic and memory traffic, divided by what such a kernel is known or guessed to
reach on such a GPU. `before` is burn 0.22.1's own path, `now` the kernels of engine/gpu. The number of launches of GPUs without
matrix units is counted (`tidepool bench --launches --json`) and read from last/launches.json; that of others is derived.
"""
import json
import pathlib
from dataclasses import dataclass

BATCH, SIDE, TOKENS, TEXT_WIDTH, HEADS = 2, 64, 77, 768, 8


@dataclass
class Gpu:
    name: str
    matrix: float  # f16 matrix units with f32 sums, TFLOPS; 0: none
    f32: float  # TFLOPS
    memory: float  # GB/s
    processors: int  # multiprocessors
    matrix_reach: float  # the share of `matrix` that cubek's kernels reach in large products
    step_us: float  # one step over K of a cube of matrix units: bounds products with few cubes
    attention_reach: float  # the share of `matrix` that burn's fused attention reaches
    direct: float  # burn's direct convolution, TFLOPS
    unit: float  # burn's matrix product without matrix units, TFLOPS
    launch_us: float  # between two kernels on the device
    host_us: float  # to start a kernel


GPUS = [
    Gpu("H100", 800, 60, 3000, 132, 0.25, 1.6, 0.05, 2.2, 12, 2.5, 8),
    Gpu("RTX 4090", 165, 75, 950, 128, 0.45, 1.2, 0.16, 2.5, 18, 2.5, 7),
    Gpu("RTX 3060", 25.6, 12, 340, 28, 0.45, 1.4, 0.14, 0.38, 3.5, 3, 8),
    Gpu("RX 6700", 0, 11, 300, 36, 0, 0, 0, 0.35, 3, 5, 9),
    Gpu("Arc A770", 120, 16, 480, 32, 0.15, 2.5, 0.06, 0.35, 3, 6, 12),
    Gpu("M2", 0, 3.4, 90, 10, 0, 0, 0, 0.10, 0.7, 6, 12),
    Gpu("Iris Xe", 0, 2, 50, 12, 0, 0, 0, 0.06, 0.5, 8, 15),
]

# The shares of f32 that the kernels of engine/gpu are taken to reach. Guesses: register tiles through the first-level cache
# reach 25 to 35 % in other programs; attention converts what it reads.
PRODUCT_REACH, ATTENTION_REACH = 0.25, 0.18


class Network:
    """The layers in their order, each with its arithmetic."""

    def __init__(self, batch):
        self.batch, self.layers = batch, []

    def add(self, kind, flop=0, **sizes):
        self.layers.append({"kind": kind, "flop": flop, **sizes})

    def conv(self, inputs, outputs, side, kernel=3, addend=False):
        pixels = self.batch * side * side
        depth = inputs * kernel * kernel
        self.add("conv 3x3" if kernel == 3 else "conv 1x1", 2 * pixels * outputs * depth, rows=pixels, columns=outputs,
                 depth=depth, weights=depth * outputs, read=pixels * inputs, addend=addend)

    def linear(self, rows, inputs, outputs, addend=False):
        self.add("linear", 2 * rows * inputs * outputs, rows=rows, columns=outputs, depth=inputs,
                 weights=inputs * outputs, moved=rows * (inputs + outputs), addend=addend)

    def norm(self, kind, elements):
        self.add(kind, elements=elements)

    def attention(self, heads, queries, keys, width):
        self.add("attention", 4 * self.batch * heads * queries * keys * width, scores=self.batch * heads * queries * keys,
                 is_long=queries == 4096)

    def rows(self, elements):
        self.add("rows", elements=elements)

    def resnet(self, inputs, outputs, side, time):
        self.norm("group norm", self.batch * inputs * side * side)
        if time:
            self.linear(self.batch, 1280, outputs)
        self.conv(inputs, outputs, side, addend=time)
        self.norm("group norm", self.batch * outputs * side * side)
        if inputs != outputs:
            self.conv(inputs, outputs, side, 1)
        self.conv(outputs, outputs, side, addend=True)

    def transformer(self, channels, side):
        tokens, pixels = self.batch * side * side, side * side
        self.norm("group norm", tokens * channels)
        self.conv(channels, channels, side, 1)
        for keys, context in ((pixels, channels), (TOKENS, TEXT_WIDTH)):
            self.norm("layer norm", tokens * channels)
            self.linear(tokens, channels, channels)
            for _ in range(2):
                self.linear(self.batch * keys, context, channels)
            self.attention(HEADS, pixels, keys, channels // HEADS)
            self.linear(tokens, channels, channels, addend=True)
        self.norm("layer norm", tokens * channels)
        self.linear(tokens, channels, 8 * channels)
        self.rows(tokens * 4 * channels)
        self.linear(tokens, 4 * channels, channels, addend=True)
        self.conv(channels, channels, side, 1, addend=True)


def unet():
    net, channels = Network(BATCH), [320, 640, 1280, 1280]
    net.linear(1, 320, 1280)
    net.linear(1, 1280, 1280)
    net.conv(4, 320, SIDE)
    skips, x, side = [320], 320, SIDE
    for level, width in enumerate(channels):
        for _ in range(2):
            net.resnet(x, width, side, True)
            x = width
            if level < 3:
                net.transformer(width, side)
            skips.append(width)
        if level < 3:
            side //= 2
            net.conv(width, width, side)
            skips.append(width)
    net.resnet(x, x, side, True)
    net.transformer(x, side)
    net.resnet(x, x, side, True)
    for level in (3, 2, 1, 0):
        for _ in range(3):
            skip = skips.pop()
            net.rows(BATCH * (x + skip) * side * side)
            net.resnet(x + skip, channels[level], side, True)
            x = channels[level]
            if level < 3:
                net.transformer(x, side)
        if level > 0:
            side *= 2
            net.rows(BATCH * x * side * side)
            net.conv(x, x, side)
    net.norm("group norm", BATCH * 320 * side * side)
    net.conv(320, 4, side)
    return net


def decoder():
    net, side = Network(1), SIDE
    net.conv(4, 4, side, 1)
    net.conv(4, 512, side)
    net.resnet(512, 512, side, False)
    net.norm("group norm", 512 * side * side)
    for _ in range(4):
        net.linear(side * side, 512, 512)
    net.attention(1, side * side, side * side, 512)
    net.resnet(512, 512, side, False)
    x = 512
    for width, is_last in ((512, False), (512, False), (256, False), (128, True)):
        for _ in range(3):
            net.resnet(x, width, side, False)
            x = width
        if not is_last:
            side *= 2
            net.rows(x * side * side)
            net.conv(x, x, side)
    net.norm("group norm", 128 * side * side)
    net.conv(128, 3, side)
    return net


def matrix_product_us(layer, gpu):
    """By cubek's kernel, whose tiles do not fill a large GPU where the output is small."""
    tile_rows, tile_depth = (128, 32) if layer["depth"] < 4096 else (64, 64)
    cubes = -(-layer["rows"] // tile_rows) * -(-layer["columns"] // tile_rows)
    waves = max(1, cubes / (2 * gpu.processors))
    serial = -(-layer["depth"] // tile_depth) * gpu.step_us * waves * (1.3 if tile_rows == 128 else 1)
    return max(serial, layer["flop"] / (gpu.matrix * gpu.matrix_reach * 1e6))


def estimate(net, gpu, is_f16, now, counted=None):
    """Microseconds on the device and on the host, and launches."""
    bytes_us, size = gpu.memory * 1e3, 2 if is_f16 else 4
    by_matrix = gpu.matrix > 0 and is_f16
    ours = gpu.f32 * PRODUCT_REACH
    us, launches = 0.0, 0.0
    for layer in net.layers:
        kind, flop = layer["kind"], layer["flop"]
        if kind.startswith("conv"):
            if by_matrix:
                us += matrix_product_us(layer, gpu)
            elif now:
                us += max(flop / (ours * 1e6), layer["weights"] * size / bytes_us)
            else:
                us += flop / ((gpu.direct if kind == "conv 3x3" else gpu.unit) * 1e6)
            if now:
                launches += 1 + (by_matrix and layer["addend"])
            else:
                # Copies of the weights and of the input into another memory order, at each call.
                us += (4 * layer["weights"] * (kind == "conv 3x3") + 2 * layer["read"]) * size / bytes_us
                launches += 4 if kind == "conv 3x3" else 3
        elif kind == "linear":
            if by_matrix:
                moved = (layer["weights"] + layer["moved"]) * 2 / bytes_us
                serial = layer["depth"] / 32 * gpu.step_us / 2
                us += max(flop / (gpu.matrix * gpu.matrix_reach * 1.1e6), moved, serial)
            else:
                us += flop / ((ours if now else gpu.unit) * 1e6)
            launches += 1 if now and not by_matrix else 1.6
        elif kind.endswith("norm"):
            group = kind == "group norm"
            us += layer["elements"] * (4 * size if now else 58 if group else 46) / bytes_us
            launches += (3 if group else 2) if now else 8
        elif kind == "attention":
            if by_matrix:
                us += flop / (gpu.matrix * gpu.attention_reach * 1e6)
                launches += 5 if now or not layer["is_long"] else 16
            elif now and is_f16:
                us += flop / (gpu.f32 * ATTENTION_REACH * 1e6)
                launches += 1
            else:
                us += flop / (gpu.unit * 1e6) + layer["scores"] * (18 if is_f16 else 24) / bytes_us
                launches += 12
        else:
            us += layer["elements"] * 3 * size / bytes_us
            launches += 1 if now else 2
    launches = counted or round(launches + 30)
    return us + launches * gpu.launch_us, launches * gpu.host_us, launches


def main():
    log = pathlib.Path(__file__).parent / "last" / "launches.json"
    counted = sum(json.loads(log.read_text())["sd15"].values()) if log.exists() else None
    step, picture = unet(), decoder()
    print(f"{'':10}{'guided step, ms':>24}{'launches':>16}{'decode, s':>18}")
    print(f"{'':10}{'before':>14}{'now':>10}{'before':>10}{'now':>6}{'before':>11}{'now':>7}")
    for gpu in GPUS:
        times, counts, decodes = [], [], []
        for now in (False, True):
            known = counted if now and not gpu.matrix else None
            device, host, launches = estimate(step, gpu, True, now, known)
            times.append(max(device, host) / 1e3)
            counts.append(launches)
            decodes.append(estimate(picture, gpu, False, now)[0] / 1e6)
        print(f"{gpu.name:10}{times[0]:14.0f}{times[1]:10.0f}{counts[0]:10}{counts[1]:6}{decodes[0]:11.2f}{decodes[1]:7.2f}")


if __name__ == "__main__":
    main()
