#!/usr/bin/env python3
"""Writes tests/dtype/goldens.safetensors: blocks of every storage format and the values they stand for.

`FORMAT.blocks` are random bytes whose scales are set: everyday ones, and zero, subnormal, negative and the largest
finite ones. Infinite and NaN scales are left out: no writer makes them, and what NaN's bits become is the machine's
choice. `FORMAT.values` are what the gguf package decodes them to; of f8_e4m3, what PyTorch does with all 256 codes.

`encode.values` are floats of many magnitudes and shapes, `FORMAT.encoded` the blocks that the gguf package makes of
them, of the formats that it encodes.

Needs numpy, gguf, torch, safetensors:

    python3 tools/dtype_goldens.py
"""

import pathlib

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/dtype/goldens.safetensors"
rng = np.random.default_rng(20260)
tensors: dict[str, np.ndarray] = {}

# Where the f16 scales of a block lie, in bytes.
SCALES = {
    "q8_0": [0], "q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q2_k": [80, 82], "q3_k": [108],
    "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208], "iq4_nl": [0], "iq4_xs": [0],
}
# As f16 bits: 0, -0, the least and largest subnormal, the least normal, 1, -1, the largest, and its negative.
EXTREMES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF]


def scales(count: int) -> np.ndarray:
    """f16 bits: the extremes, then magnitudes of 2^-12 … 2^2, half of them negative."""
    random = (2.0 ** rng.uniform(-12, 2, count) * rng.choice([-1, 1], count)).astype(np.float16).view(np.uint16)
    random[: len(EXTREMES)] = EXTREMES
    return random


def blocks() -> None:
    for name, offsets in SCALES.items():
        kind = gguf.GGMLQuantizationType[name.upper()]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        count = 24 if elements == 32 else 16
        data = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for offset in offsets:
            chosen = scales(count)
            if offset != offsets[0]:  # other pairs of scale and minimum than like with like
                chosen = np.roll(chosen, 4)
            data[:, offset : offset + 2] = chosen.astype("<u2").view(np.uint8).reshape(count, 2)
        tensors[name + ".blocks"] = data
        tensors[name + ".values"] = gguf.dequantize(data, kind)

    data = rng.integers(0, 256, (24, 17), dtype=np.uint8)
    data[:, 0] = [0, 1, 2, 3, 126, 127, 128, 253, 254, 255, *rng.integers(100, 140, 14)]
    tensors["mxfp4.blocks"] = data
    tensors["mxfp4.values"] = gguf.dequantize(data, gguf.GGMLQuantizationType.MXFP4)

    data = np.arange(256, dtype=np.uint8).reshape(256, 1)
    tensors["f8_e4m3.blocks"] = data
    tensors["f8_e4m3.values"] = torch.from_numpy(data).view(torch.float8_e4m3fn).float().numpy()


def encoded() -> None:
    """32 values a row. None whose scales overflow f16: there Ingot saturates and the package writes infinity."""
    rows = [rng.standard_normal(32) * 2.0**magnitude for magnitude in range(-30, 16, 2)]
    rows += [rng.standard_t(2, 32) * 0.02 for _ in range(12)]
    rows += [np.round(rng.standard_normal(32) * 4) * step for step in (1, 0.5, 0.25, 2**-10)]  # many ties
    rows += [np.full(32, value) for value in (0.0, 1.0, -1.0, 0.3, -1e-3)]
    rows += [np.where(np.arange(32) == place, outlier, 0.01) for place, outlier in ((0, 8.0), (17, -8.0), (31, 500.0))]
    rows += [np.abs(rng.standard_normal(32)), -np.abs(rng.standard_normal(32)), rng.standard_normal(32) + 5]
    rows += [np.where(np.arange(32) % 2, 3.0, -3.0)]  # two of the largest magnitude
    values = np.array(rows, dtype=np.float32)
    tensors["encode.values"] = values
    for name in ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "mxfp4"):
        tensors[name + ".encoded"] = gguf.quantize(values, gguf.GGMLQuantizationType[name.upper()])


with np.errstate(over="ignore"):  # mxfp4's largest scales reach infinity
    blocks()
encoded()
for name, tensor in tensors.items():
    assert not np.isnan(tensor).any() or name == "f8_e4m3.values", name
save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, OUT)
print(f"{OUT}: {len(tensors)} tensors, {OUT.stat().st_size} bytes")
