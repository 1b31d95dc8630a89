#!/usr/bin/env python3
"""Makes tiny random checkpoints with Hugging Face transformers and the results that Ingot must reproduce.

    python tools/goldens.py OUT                    all cases into OUT/<architecture>/<case>/ (OUT is tests/model)
    python tools/goldens.py OUT --only llama/yarn  one case
    python tools/goldens.py OUT --check            makes them anew elsewhere and compares with those in OUT
    python tools/goldens.py --bench qwen3-0.6b OUT a random bf16 checkpoint in the shape of a real model
                                                   (see tools/bench_checkpoint.py)

Needs torch, transformers and safetensors; made with transformers 5.23.0 and torch 2.15.0 on the CPU.

Each case folder holds a checkpoint as it would be published (config.json and safetensors, some in the older
form of config.json, some with the extra tensors that published files carry) and golden.safetensors:

    prompt  i32 [P]             random token ids
    greedy  i32 [32]            the 32 ids that greedy decoding appends
    logits  f32 [P + 31, vocab] row t: the logits after tokens 0..t of prompt + greedy

The reference loads the folder itself, so that what config.json says is what is computed: weights upcast to f32,
eager attention, no key-value cache. A case is accepted only if
  - every greedy step's two best logits are at least 10 tolerances apart (tolerance: 2e-4 of the logits' standard
    deviation), so that a correct engine cannot choose another token;
  - the same model in f64 differs by less than a tenth of the tolerance, so that rounding cannot fail an engine;
  - greedy decoding visits at least 8 tokens;
  - each option named under `matters` moves the logits by at least 3 tolerances when it is changed, so that an
    engine that ignores the option fails (the two formulas of gelu differ by no more).
Other seeds are tried until all hold. The same versions and machine type give the same bytes.
"""

import argparse
import json
import shutil
import sys
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

STEPS = 32
TOLERANCE = 2e-4  # of the logits' standard deviation
MAX_ATTEMPTS = 200


@dataclass
class Case:
    config: dict  # arguments of the model's config class, model_type among them
    prompt: int = 17  # tokens
    dtype: str = "float32"
    old: dict | None = None  # for the older form of config.json: its rope keys, in place of rope_parameters
    drop: tuple = ()  # keys left out of config.json
    add: dict = field(default_factory=dict)  # keys added to config.json
    shard_size: str | None = None
    extra: object = None  # function(config, tensors) -> tensors, for what published files hold besides
    unpadded_header: bool = False  # the form of files older than the format's alignment rule
    matters: dict = field(default_factory=dict)  # name -> changes to the config that must change the logits


def rope_buffers(config, tensors):
    """Llama 2's published files hold each layer's rotary frequencies."""
    dim = config.hidden_size // config.num_attention_heads
    frequencies = 1.0 / (10000.0 ** (torch.arange(0, dim, 2).float() / dim))
    for layer in range(config.num_hidden_layers):
        tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = frequencies.clone()
    return tensors


def gpt2_as_published(config, tensors):
    """GPT-2's published file has no `transformer.` prefix and holds each layer's causal mask."""
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    context = config.n_positions
    for layer in range(config.n_layer):
        tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(context, context)).view(1, 1, context, context)
    return tensors


def tied_head_stored(config, tensors):
    """Qwen3's small published files hold the output head although it is tied to the embedding."""
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    return tensors


def default_rope(theta=10000.0):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}


LLAMA3_SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 32}
YARN_SCALING = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
ALL_OF_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 100.0,
               "beta_fast": 1.0, "beta_slow": 0.1, "mscale": 0.7, "mscale_all_dim": 2.0, "truncate": False}

CASES = {
    "gpt2/published": Case(
        dict(model_type="gpt2", vocab_size=157, n_positions=64, n_embd=40, n_layer=2, n_head=5, n_inner=None,
             activation_function="gelu_new", layer_norm_epsilon=1e-5),
        add={"n_ctx": 64, "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}},
        drop=("tie_word_embeddings", "n_inner", "add_cross_attention", "reorder_and_upcast_attn",
              "scale_attn_by_inverse_layer_idx", "scale_attn_weights", "dtype"),
        extra=gpt2_as_published, unpadded_header=True,
        matters={"activation": dict(activation_function="gelu"), "epsilon": dict(layer_norm_epsilon=1e-1)}),
    "gpt2/untied_f16": Case(
        dict(model_type="gpt2", vocab_size=203, n_positions=80, n_embd=48, n_layer=2, n_head=4, n_inner=100,
             activation_function="gelu", tie_word_embeddings=False),
        prompt=11, dtype="float16", matters={"activation": dict(activation_function="gelu_new")}),
    "gpt2/tanh_bf16": Case(
        dict(model_type="gpt2", vocab_size=101, n_positions=55, n_embd=42, n_layer=3, n_head=7, n_inner=64,
             activation_function="gelu_pytorch_tanh", layer_norm_epsilon=1e-3),
        prompt=23, dtype="bfloat16", matters={"epsilon": dict(layer_norm_epsilon=1e-5)}),

    "llama/llama2": Case(
        dict(model_type="llama", vocab_size=131, hidden_size=48, intermediate_size=80, num_hidden_layers=2,
             num_attention_heads=8, rms_norm_eps=1e-3, max_position_embeddings=64, **default_rope()),
        old={"rope_scaling": None}, drop=("head_dim", "mlp_bias", "attention_bias", "num_key_value_heads"),
        extra=rope_buffers,
        matters={"theta": default_rope(500.0), "epsilon": dict(rms_norm_eps=1e-6)}),
    "llama/llama3": Case(
        dict(model_type="llama", vocab_size=199, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True,
             rope_parameters={"rope_theta": 100.0, **LLAMA3_SCALING}),
        prompt=21, dtype="bfloat16", old={"rope_theta": 100.0, "rope_scaling": LLAMA3_SCALING},
        matters={"scaling": default_rope(100.0)}),
    "llama/llama3_parameters": Case(
        dict(model_type="llama", vocab_size=103, hidden_size=36, intermediate_size=52, num_hidden_layers=2,
             num_attention_heads=6, num_key_value_heads=3, max_position_embeddings=256,
             rope_parameters={"rope_theta": 100.0, **LLAMA3_SCALING, "factor": 4.0}),
        prompt=13, matters={"scaling": default_rope(100.0)}),
    "llama/smollm": Case(
        dict(model_type="llama", vocab_size=211, hidden_size=54, intermediate_size=100, num_hidden_layers=3,
             num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=128, tie_word_embeddings=True,
             **default_rope(100000.0)),
        dtype="bfloat16", matters={"theta": default_rope(10000.0)}),
    "llama/linear_biases": Case(
        dict(model_type="llama", vocab_size=151, hidden_size=40, intermediate_size=68, num_hidden_layers=2,
             num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=128, attention_bias=True,
             mlp_bias=True, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}),
        prompt=11, dtype="float16", old={"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.5}},
        matters={"scaling": default_rope()}),
    "llama/yarn_head_dim": Case(
        dict(model_type="llama", vocab_size=127, hidden_size=32, intermediate_size=60, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, head_dim=20, max_position_embeddings=2048,
             tie_word_embeddings=True, rope_parameters={"rope_theta": 10000.0, **YARN_SCALING}),
        prompt=19,
        matters={"scaling": default_rope(),
                 "beta": dict(rope_parameters={"rope_theta": 10000.0, **YARN_SCALING, "beta_fast": 8.0})}),
    "llama/mistral": Case(
        dict(model_type="mistral", vocab_size=143, hidden_size=48, intermediate_size=92, num_hidden_layers=3,
             num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=128, sliding_window=7,
             **default_rope()),
        prompt=23, dtype="bfloat16", old={"rope_theta": 10000.0}, shard_size="60KB",
        matters={"window": dict(sliding_window=None), "window's edge": dict(sliding_window=8)}),

    "qwen2/tied": Case(
        dict(model_type="qwen2", vocab_size=151, hidden_size=56, intermediate_size=64, num_hidden_layers=2,
             num_attention_heads=7, num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True,
             use_sliding_window=False, sliding_window=5, **default_rope(1000000.0)),
        old={"rope_theta": 1000000.0}, drop=("layer_types",), add={"sliding_window": 5},
        matters={"theta": default_rope(10000.0)}),
    "qwen2/yarn_untied_bf16": Case(
        dict(model_type="qwen2", vocab_size=181, hidden_size=48, intermediate_size=76, num_hidden_layers=3,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048,
             rope_parameters={"rope_theta": 1000.0, **YARN_SCALING}),
        prompt=20, dtype="bfloat16",
        old={"rope_theta": 1000.0,
             "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}},
        matters={"scaling": default_rope(1000.0)}),
    "qwen2/sliding": Case(
        dict(model_type="qwen2", vocab_size=107, hidden_size=40, intermediate_size=56, num_hidden_layers=3,
             num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=128, use_sliding_window=True,
             sliding_window=6, max_window_layers=1, **default_rope()),
        prompt=23, dtype="float16", old={"rope_theta": 10000.0}, drop=("layer_types",),
        matters={"window": dict(use_sliding_window=False), "first layer": dict(max_window_layers=0),
                 "second layer": dict(max_window_layers=2)}),

    "qwen3/tied_bf16": Case(
        dict(model_type="qwen3", vocab_size=173, hidden_size=48, intermediate_size=72, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=128,
             tie_word_embeddings=True, **default_rope(1000000.0)),
        dtype="bfloat16", old={"rope_theta": 1000000.0, "rope_scaling": None}, drop=("layer_types",),
        extra=tied_head_stored, matters={"theta": default_rope(10000.0)}),
    "qwen3/biases_f16": Case(
        dict(model_type="qwen3", vocab_size=139, hidden_size=40, intermediate_size=88, num_hidden_layers=3,
             num_attention_heads=3, num_key_value_heads=1, head_dim=20, max_position_embeddings=128,
             attention_bias=True, rms_norm_eps=1e-3, **default_rope()),
        prompt=15, dtype="float16", matters={"epsilon": dict(rms_norm_eps=1e-6)}),
    "qwen3/yarn_sliding": Case(
        dict(model_type="qwen3", vocab_size=113, hidden_size=32, intermediate_size=44, num_hidden_layers=3,
             num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=128,
             tie_word_embeddings=True, use_sliding_window=True, sliding_window=9, max_window_layers=2,
             rope_parameters=ALL_OF_YARN),
        prompt=22,
        matters={"window": dict(use_sliding_window=False), "scaling": default_rope(100.0),
                 **{key: dict(rope_parameters={**ALL_OF_YARN, key: other}) for key, other in
                    [("truncate", True), ("mscale", None), ("beta_fast", 2.0), ("beta_slow", 0.3)]}}),
}


def make_config(settings):
    settings = json.loads(json.dumps(settings))  # config classes edit the dicts they are given
    return AutoConfig.for_model(settings.pop("model_type"), bos_token_id=None, eos_token_id=None, pad_token_id=None,
                                **settings)


@torch.no_grad()
def randomize(model, generator):
    """Weights large enough that attention is peaked and logits vary; no norm at 1, no bias at 0."""
    for name, parameter in model.named_parameters():
        normal = torch.randn(parameter.shape, generator=generator)
        uniform = torch.rand(parameter.shape, generator=generator)
        if name.endswith("bias"):
            value = 0.3 * normal
        elif parameter.dim() == 1:
            value = 0.5 + uniform
        elif "wpe" in name:
            value = 0.8 * normal
        elif "embed_tokens" in name or "wte" in name:
            value = 0.4 * normal
        else:
            transposed = "c_attn" in name or "c_proj" in name or "c_fc" in name  # GPT-2's Conv1D: [in, out]
            value = 1.5 * normal / parameter.shape[0 if transposed else 1] ** 0.5
        parameter.copy_(value)


def save_unpadded(tensors, path):
    """A safetensors file whose data does not begin at a multiple of 8 bytes."""
    save_file(tensors, path, metadata={"format": "pt"})
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8:8 + size].rstrip(b" ")
    header += b" " * (-(len(header) + 8) % 4 + 3)  # 3 beyond a multiple of 4
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size:])


def write_checkpoint(case, folder, seed):
    config = make_config(case.config)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomize(model, torch.Generator().manual_seed(seed))
    model.to(getattr(torch, case.dtype))
    model.save_pretrained(folder, **({"max_shard_size": case.shard_size} if case.shard_size else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)

    if case.extra or case.unpadded_header:
        path = folder / "model.safetensors"
        tensors = load_file(path)
        if case.extra:
            tensors = case.extra(config, tensors)
        if case.unpadded_header:
            save_unpadded(tensors, path)
        else:
            save_file(tensors, path, metadata={"format": "pt"})

    path = folder / "config.json"
    settings = json.loads(path.read_text())
    for key in case.drop:
        settings.pop(key, None)
    if case.old is not None:
        settings.pop("rope_parameters", None)
        settings["torch_dtype"] = settings.pop("dtype")
        settings.update(case.old)
    settings.update(case.add)
    settings.pop("transformers_version", None)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def load_reference(folder, dtype=torch.float32, changes=None):
    config = None
    if changes is not None:
        config = make_config(changes)
    model, info = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype, output_loading_info=True,
                                                       attn_implementation="eager")
    if info["missing_keys"] or info["mismatched_keys"]:
        raise RuntimeError(f"{folder}: {info}")
    return model.eval()


@torch.no_grad()
def logits_of(model, tokens):
    return model(torch.tensor([tokens]), use_cache=False).logits[0]


def reference(model, prompt):
    tokens = list(prompt)
    for _ in range(STEPS):
        tokens.append(int(logits_of(model, tokens)[-1].argmax()))
    return tokens, logits_of(model, tokens[:-1])


def objection(case, folder, tokens, logits):
    """Why this seed will not do, or None."""
    tolerance = TOLERANCE * logits.std().item()
    steps = logits[case.prompt - 1:]
    best = steps.topk(2).values
    margin = (best[:, 0] - best[:, 1]).min().item()
    if margin < 10 * tolerance:
        return f"margin {margin / tolerance:.1f} tolerances"
    if steps.argmax(dim=1).tolist() != tokens[case.prompt:]:
        return "recomputation chose other tokens"
    if len(set(tokens[case.prompt:])) < 8:
        return "greedy decoding repeats itself"
    exact = logits_of(load_reference(folder, torch.float64), tokens[:-1])
    noise = (exact - logits).abs().max().item()
    if noise > tolerance / 10:
        return f"f32 differs from f64 by {noise / tolerance:.2f} tolerances"
    if not torch.equal(logits_of(load_reference(folder, changes=case.config), tokens[:-1]), logits):
        raise SystemExit(f"{folder}: config.json does not say what the case says")
    for name, change in case.matters.items():
        changed = logits_of(load_reference(folder, changes={**case.config, **change}), tokens[:-1])
        effect = (changed - logits).abs().max().item()
        if effect < 3 * tolerance:
            return f"{name} moves the logits by only {effect / tolerance:.1f} tolerances"
    return None


def make(name, out):
    case = CASES[name]
    folder = out / name
    for attempt in range(MAX_ATTEMPTS):
        seed = zlib.crc32(name.encode()) + attempt
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_checkpoint(case, folder, seed)
        generator = torch.Generator().manual_seed(seed + 1_000_000_007)
        prompt = torch.randint(case.config["vocab_size"], (case.prompt,), generator=generator).tolist()
        tokens, logits = reference(load_reference(folder), prompt)
        reason = objection(case, folder, tokens, logits)
        if reason is None:
            break
        print(f"{name}: seed {attempt}: {reason}", file=sys.stderr)
    else:
        raise SystemExit(f"{name}: no seed fits in {MAX_ATTEMPTS} attempts")
    save_file({"prompt": torch.tensor(prompt, dtype=torch.int32),
               "greedy": torch.tensor(tokens[case.prompt:], dtype=torch.int32),
               "logits": logits.contiguous()}, folder / "golden.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: seed {attempt}, {case.dtype}, prompt {case.prompt}, logits std {logits.std():.2f}, "
          f"{len(set(tokens[case.prompt:]))} distinct of {STEPS} greedy tokens, {size / 1000:.0f} KB in all")


def check(names, out):
    """Fails if the cases in `out` are not what this script makes."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            make(name, Path(scratch))
            made = {file.name: file.read_bytes() for file in (Path(scratch) / name).iterdir()}
            kept = {file.name: file.read_bytes() for file in (out / name).iterdir()}
            different = [file for file in sorted(made | kept) if made.get(file) != kept.get(file)]
            if different:
                raise SystemExit(f"{name}: differs from what the script makes: {', '.join(different)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append", choices=sorted(CASES), help="a case; may be given several times")
    parser.add_argument("--check", action="store_true", help="compare with the cases in OUT instead of writing them")
    parser.add_argument("--bench", choices=["qwen3-0.6b", "llama-1b", "llama-8b"], help="write a checkpoint for benchmarks instead")
    arguments = parser.parse_args()
    if arguments.bench:
        import bench_checkpoint
        bench_checkpoint.write(arguments.bench, arguments.out)
        return
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    names = arguments.only or list(CASES)
    if arguments.check:
        check(names, arguments.out)
    else:
        for name in names:
            make(name, arguments.out)


if __name__ == "__main__":
    main()
