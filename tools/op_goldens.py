#!/usr/bin/env python3
"""Writes tests/ops/goldens.safetensors: what PyTorch and transformers compute for small operands of each op.

The op cases compare kernels with the ops' own references; this file is the outside proof of the references.
Everything is computed in float64 where PyTorch can and stored as float32. Needs torch, transformers, safetensors:

    python3 tools/op_goldens.py
"""

import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/ops/goldens.safetensors"
torch.manual_seed(20260)
tensors: dict[str, torch.Tensor] = {}


def put(name: str, value: torch.Tensor) -> torch.Tensor:
    kept = value.to(torch.float32) if value.is_floating_point() and value.dtype == torch.float64 else value
    tensors[name] = kept.contiguous().clone()
    return tensors[name]


def numbers(name: str, *shape: int, scale: float = 1.0) -> torch.Tensor:
    """Stored as f32, returned as f64 of the same values."""
    return put(name, torch.randn(*shape) * scale).double()


def pointwise() -> None:
    x = put("x", torch.cat([torch.linspace(-30, 30, 301), torch.tensor([0.0, -0.0, 1e-20, -1e-20, 1e4, -1e4])])).double()
    put("gelu_erf", F.gelu(x))
    put("gelu_tanh", F.gelu(x, approximate="tanh"))
    put("silu", F.silu(x))


def norms() -> None:
    x = numbers("norm.x", 5, 37, scale=2.0)
    w, b = numbers("norm.weight", 37), numbers("norm.bias", 37)
    put("softmax", F.softmax(x, dim=-1))
    put("layer_norm", F.layer_norm(x, (37,), w, b, eps=1e-5))
    put("rms_norm", x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * w)


def products() -> None:
    x = numbers("linear.x", 6, 33)
    b = numbers("linear.bias", 19)
    for dtype, name in ((torch.float32, "f32"), (torch.float16, "f16"), (torch.bfloat16, "bf16")):
        w = torch.randn(19, 33).to(dtype)
        put(f"linear.weight.{name}", w)
        put(f"linear.{name}", F.linear(x, w.double(), b))
    y = numbers("matmul.a", 2, 5, 7)
    put("matmul", torch.matmul(y, numbers("matmul.b", 2, 7, 3)))


def rope() -> None:
    """Frequencies by transformers, rotation by the formula of RoFormer on complex numbers."""
    positions = put("rope.positions", torch.tensor([0, 1, 2, 17, 511, 4095, 8191, 100000], dtype=torch.int32))
    dims = 64
    scalings = {
        "default": ({"rope_type": "default"}, 10000.0, 4096),
        "linear": ({"rope_type": "linear", "factor": 4.0}, 10000.0, 4096),
        "llama3": (
            {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
             "original_max_position_embeddings": 8192},
            500000.0, 131072),
        "yarn": ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 1000000.0, 131072),
        "yarn_untruncated": (
            {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096, "truncate": False,
             "beta_fast": 24.0, "beta_slow": 2.0},
            10000.0, 65536),
    }
    for name, (scaling, theta, longest) in scalings.items():
        config = LlamaConfig(hidden_size=dims * 2, num_attention_heads=2, max_position_embeddings=longest,
                             rope_parameters={**scaling, "rope_theta": theta})
        if scaling["rope_type"] == "default":
            frequencies, attention = 1.0 / theta ** (torch.arange(0, dims, 2).float() / dims), 1.0
        else:
            frequencies, attention = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, device="cpu")
        put(f"rope.{name}.frequencies", frequencies)
        put(f"rope.{name}.attention", torch.tensor([attention], dtype=torch.float32))
        angles = (positions[:, None].float() * frequencies[None, :]).double()  # rounded to f32 as in training
        put(f"rope.{name}.table", torch.cat([angles.cos() * attention, angles.sin() * attention], dim=-1))

    x = numbers("rope.x", len(positions), 3, dims)
    angles = tensors["rope.default.table"].double()
    rotation = torch.complex(angles[:, : dims // 2], angles[:, dims // 2 :])[:, None, :]
    half = torch.complex(x[..., : dims // 2], x[..., dims // 2 :]) * rotation
    put("rope.half", torch.cat([half.real, half.imag], dim=-1))
    put("rope.interleaved", torch.view_as_real(torch.complex(x[..., 0::2], x[..., 1::2]) * rotation).flatten(-2))


def attention() -> None:
    """One sequence of 40 tokens, 6 query heads over 2 key heads; scaled_dot_product_attention with explicit masks."""
    tokens, heads, kv_heads, head_dim = 40, 6, 2, 12
    q = numbers("attention.q", tokens, heads, head_dim, scale=2.0)
    k = numbers("attention.k", tokens, kv_heads, head_dim)
    v = numbers("attention.v", tokens, kv_heads, head_dim)
    i, j = torch.arange(tokens)[:, None], torch.arange(tokens)[None, :]
    for window in (0, 1, 9):
        mask = (j <= i) & (j > i - window) if window else j <= i
        out = F.scaled_dot_product_attention(
            q.transpose(0, 1), k.repeat_interleave(heads // kv_heads, dim=1).transpose(0, 1),
            v.repeat_interleave(heads // kv_heads, dim=1).transpose(0, 1), attn_mask=mask, scale=1 / math.sqrt(head_dim))
        put(f"attention.window{window}", out.transpose(0, 1))


if __name__ == "__main__":
    for part in (pointwise, norms, products, rope, attention):
        part()
    save_file(tensors, OUT)
    print(f"{OUT}: {len(tensors)} tensors, {OUT.stat().st_size} bytes")
