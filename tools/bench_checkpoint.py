"""Random checkpoints in the exact shape of real models, for benchmarks: `goldens.py --bench NAME OUT`.

Speed depends on shapes and types, not on values, so random bf16 weights measure what the real ones would. The
weights are made in pieces, by all cores or by the GPU where torch sees one; a byte-level BPE tokenizer of 4096
tokens is trained on the fairy tales in tests/data, so that prompts are text. Not committed: 1.2 GB (qwen3-0.6b),
2.5 GB (llama-1b) and 16 GB (llama-8b).
"""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM

from bench_shapes import CONFIGS

CHUNK = 1 << 25  # values made at once
CORPUS = Path(__file__).resolve().parent.parent / "tests/data/fairytales-valid.txt"
END = "<|endoftext|>"


def weight_shapes(config):
    """The tensors of the model and their shapes, without making them."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**json.loads(json.dumps(config))))
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def chunks_of(shapes):
    """Pieces of at most CHUNK values: the byte where each begins among the weights, its values, least and most."""
    position = 0
    for shape in shapes.values():
        # A matrix: uniform of the deviation 1 / sqrt(columns): activations neither grow nor vanish. A norm's: about 1.
        reach = (3 / shape[1]) ** 0.5 if len(shape) > 1 else None
        low, high = (-reach, reach) if reach else (0.5, 1.5)
        count = math.prod(shape)
        for begin in range(0, count, CHUNK):
            yield position + 2 * begin, min(CHUNK, count - begin), low, high
        position += 2 * count


def write_weights(shapes, path, seed):
    header, position = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    text = len(text).to_bytes(8, "little") + text
    device = "cuda" if torch.cuda.is_available() else "cpu"

    # Each chunk has a seed of its own, so that they can be made and written side by side in any order.
    def put(index, at, count, low, high):
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + index)
        value = torch.empty(count, dtype=torch.bfloat16, device=device).uniform_(low, high, generator=generator)
        rest = memoryview(value.cpu().view(torch.int16).numpy()).cast("B")
        at += len(text)
        while rest:
            written = os.pwrite(file, rest, at)
            at, rest = at + written, rest[written:]

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.pwrite(file, text, 0)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for done in [pool.submit(put, i, *chunk) for i, chunk in enumerate(chunks_of(shapes))]:
                done.result()
    finally:
        os.close(file)


def write_tokenizer(folder, bos):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=4096, special_tokens=[END], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train([str(CORPUS)], trainer)
    end = tokenizer.token_to_id(END)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{END} $A", pair=f"{END} $A {END} $B", special_tokens=[(END, end)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "add_bos_token": bos}
    if bos:
        settings["bos_token"] = END
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    return end


def write(name, out):
    out.mkdir(parents=True, exist_ok=True)
    config = CONFIGS[name]
    end = write_tokenizer(out, bos=config["model_type"] == "llama")
    config = {**config, "bos_token_id": end, "eos_token_id": end}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    generation = {"bos_token_id": end, "eos_token_id": [end], "do_sample": True, "temperature": 0.6, "top_p": 0.9}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    shapes = weight_shapes(config)
    write_weights(shapes, out / "model.safetensors", seed=1)
    parameters = sum(math.prod(shape) for shape in shapes.values())
    print(f"{name}: {parameters / 1e6:.0f} M parameters, {(out / 'model.safetensors').stat().st_size / 1e9:.2f} GB in {out}")
