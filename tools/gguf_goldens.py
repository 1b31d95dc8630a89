#!/usr/bin/env python3
"""Writes tiny checkpoints of tests/model as GGUF files, as published converters would.

    python tools/gguf_goldens.py tests/model            every case below, beside its safetensors
    python tools/gguf_goldens.py tests/model --check    makes them anew elsewhere and compares

Needs numpy, torch, safetensors and the `gguf` package; made with gguf 0.19.0. File layout, key names and tensor
names come from that package. The conventions of llama.cpp's converter that it does not hold stand here: the order of
query and key rows, transposed linears of GPT-2, norms and biases in f32, and rope_freqs.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

# Case, file, type of matrices.
CASES = [
    ("llama/llama2", "model.gguf", "F32"),
    ("llama/llama3", "model.gguf", "BF16"),
    ("llama/llama3", "model-q8_0.gguf", "Q8_0"),
    ("llama/linear_biases", "model.gguf", "F16"),
    ("llama/mistral", "model.gguf", "BF16"),
    ("llama/yarn_head_dim", "model.gguf", "F32"),
    ("qwen2/sliding", "model.gguf", "F16"),
    ("qwen2/tied", "model.gguf", "F32"),
    ("qwen2/yarn_untied_bf16", "model.gguf", "BF16"),
    ("qwen3/tied_bf16", "model.gguf", "BF16"),
    ("gpt2/published", "model.gguf", "F32"),
]
SPLIT = {"llama/mistral": 12}  # tensors a part
ARCHITECTURES = {"mistral": "llama"}  # the others keep their names


def to_neighbours(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows whose rotated pairs lie half a head apart, as rows whose pairs are neighbours."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def llama3_divisors(config: dict, scaling: dict, head_dim: int) -> np.ndarray:
    theta = scaling.get("rope_theta", config.get("rope_theta", 10000.0))
    low = scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
    high = scaling["original_max_position_embeddings"] / scaling["high_freq_factor"]
    divisors = []
    for frequency in 1.0 / (theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)):
        wavelength = 2 * math.pi / frequency.item()
        if wavelength < high:
            divisors.append(1.0)
        elif wavelength > low:
            divisors.append(scaling["factor"])
        else:
            smooth = scaling["original_max_position_embeddings"] / wavelength - scaling["low_freq_factor"]
            smooth /= scaling["high_freq_factor"] - scaling["low_freq_factor"]
            divisors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(divisors, dtype=np.float32)


def add_decoder_keys(writer: gguf.GGUFWriter, config: dict) -> None:
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim", config["hidden_size"] // heads)
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(scaling.get("rope_theta", config.get("rope_theta", 10000.0)))
    writer.add_rope_dimension_count(head_dim)
    if "head_dim" in config:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_vocab_size(config["vocab_size"])
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(config, scaling, head_dim))
    elif kind != "default":
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(scaling["factor"])
        if kind == "yarn":
            writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    if config["model_type"] == "mistral":
        writer.add_sliding_window(config["sliding_window"])
    elif config.get("use_sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
        full = config["max_window_layers"]
        writer.add_sliding_window_pattern([layer >= full for layer in range(config["num_hidden_layers"])])


def add_gpt2_keys(writer: gguf.GGUFWriter, config: dict) -> None:
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_feed_forward_length(config.get("n_inner") or 4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])


def convert(folder: Path, out: Path, kind: str, split: int) -> list[Path]:
    config = json.loads((folder / "config.json").read_text())
    architecture = ARCHITECTURES.get(config["model_type"], config["model_type"])
    is_gpt2 = architecture == "gpt2"
    writer = gguf.GGUFWriter(out, architecture, split_max_tensors=split)
    writer.add_name(folder.name)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    (add_gpt2_keys if is_gpt2 else add_decoder_keys)(writer, config)
    writer.add_tokenizer_model("no_vocab")

    layers = config["n_layer" if is_gpt2 else "num_hidden_layers"]
    arch = next(id for id, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(arch, layers)
    tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        tensors |= load_file(file)
    for name, tensor in tensors.items():
        if name.endswith((".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")):
            continue  # buffers
        if name == "lm_head.weight" and config.get("tie_word_embeddings", is_gpt2):
            continue
        values = tensor.to(torch.float32).numpy()
        if architecture == "llama" and ".q_proj." in name:
            values = to_neighbours(values, config["num_attention_heads"])
        if architecture == "llama" and ".k_proj." in name:
            values = to_neighbours(values, config.get("num_key_value_heads", config["num_attention_heads"]))
        if is_gpt2 and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            values = values.T
        type_id = gguf.GGMLQuantizationType["F32" if values.ndim == 1 else kind]
        data = gguf.quants.quantize(np.ascontiguousarray(values), type_id)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), data, raw_dtype=type_id)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(out.parent.glob(out.stem + "-*-of-*.gguf")) if split else [out]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    failed = 0
    for case, file, kind in CASES:
        folder = options.models / case
        if not options.check:
            for path in convert(folder, folder / file, kind, SPLIT.get(case, 0)):
                print(path, path.stat().st_size)
            continue
        with tempfile.TemporaryDirectory() as temporary:
            for path in convert(folder, Path(temporary) / file, kind, SPLIT.get(case, 0)):
                if path.read_bytes() != (folder / path.name).read_bytes():
                    print(f"{folder / path.name}: differs")
                    failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
