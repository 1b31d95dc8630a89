#!/usr/bin/env python3
"""Times one decode step of transformers with torch.compile, as a peer of `ingot bench`.

    tools/peer_transformers.py [--models llama-1b,llama-8b:graph] [--mode reduce-overhead] [--prompt 128] [--generate 256]
                               [--out FILE.json]

Shapes of published models (tools/bench_shapes.py), random bf16 weights made on the device: nothing is downloaded or
read. The prompt runs eagerly; a step, with its argmax, is compiled as a whole on a static cache that holds exactly prompt
and generation, and replayed as a CUDA graph. Time per token: the median over the generated ones after the first 16, by
events on the device between steps, so that what the host takes too long for counts. Compiling takes most of the run;
the mode graph compiles nothing and records the eager step.
"""

import argparse
import inspect
import json
import statistics
import sys
import time
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, StaticCache

from bench_shapes import CONFIGS

WARM = 16  # steps that are not counted: the first ones compile and record
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 512, "head_dim": 16}


def say(text):
    print(f"[{time.monotonic() - START:4.0f} s] {text}", file=sys.stderr, flush=True)


def make_model(name, args):
    config = AutoConfig.for_model(**{**CONFIGS[name], **(TINY if args.tiny else {})})
    with torch.device(args.device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    return model.to(args.device).eval()


def weight_bytes(model):
    """What a step reads: every parameter once, of an embedding that is no head one row."""
    read = {p.data_ptr(): p.numel() * p.element_size() for p in model.parameters()}
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if embedding.data_ptr() != head.data_ptr():
        read[embedding.data_ptr()] = embedding.shape[1] * embedding.element_size()
    return sum(read.values())


class Clock:
    """Times of steps, seconds: by events on a GPU, by the clock elsewhere."""

    def __init__(self, device):
        self.is_cuda = device != "cpu"
        self.marks = []

    def mark(self):
        if not self.is_cuda:
            self.marks.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.marks.append(event)

    def steps(self):
        if self.is_cuda:
            torch.cuda.synchronize()
            return [a.elapsed_time(b) * 1e-3 for a, b in zip(self.marks, self.marks[1:])]
        return [b - a for a, b in zip(self.marks, self.marks[1:])]


def compiled(forward, state, cache, mode):
    """A step that torch.compile made."""
    fast = torch.compile(forward, mode=None if mode == "default" else mode, fullgraph=True, dynamic=False)

    def step():
        nonlocal state
        torch.compiler.cudagraph_mark_step_begin()
        # Outputs of a recorded graph are overwritten by its next replay.
        state = tuple(value.clone() for value in fast(*state, cache))

    return step


def recorded(forward, state, cache):
    """An eager step as one CUDA graph, which reads and writes the same token and position. The calls that warm up and
    record advance the cache's own count where it keeps one; the positions written are those that are told."""
    token, position = (value.clone() for value in state)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(2):
            forward(token, position, cache)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        next_token, next_position = forward(token, position, cache)
        token.copy_(next_token)
        position.copy_(next_position)
    return graph.replay


def measure(name, mode, args):
    model = make_model(name, args)
    say(f"{name}: made")
    # Before 5.x models were told where the cache ends; newer caches count themselves.
    takes_position = "cache_position" in inspect.signature(type(model.model).forward).parameters

    def forward(tokens, positions, cache):
        more = {"cache_position": positions} if takes_position else {}
        logits = model(input_ids=tokens, position_ids=positions[None], past_key_values=cache, use_cache=True, logits_to_keep=1,
                       **more).logits
        return logits[:, -1].argmax(-1, keepdim=True), positions[-1:] + 1

    room = 4 if mode == "graph" else 0  # for the steps before recording
    cache = StaticCache(config=model.config, max_cache_len=args.prompt + args.generate + room)
    prompt = torch.randint(0, model.config.vocab_size, (1, args.prompt), device=args.device)
    clock = Clock(args.device)
    with torch.no_grad():
        state = forward(prompt, torch.arange(args.prompt, device=args.device), cache)
        step = recorded(forward, state, cache) if mode == "graph" else compiled(forward, state, cache, mode)
        for _ in range(args.generate):
            step()
            clock.mark()
    seconds = clock.steps()[min(WARM, args.generate // 2):]
    time_of_step = statistics.median(seconds)
    kv_bytes = 2 * model.config.num_hidden_layers * model.config.num_key_value_heads * model.config.head_dim * 2
    context = args.prompt + args.generate / 2
    bytes_read = weight_bytes(model) + kv_bytes * context
    entry = {"model": f"{name} bf16", "mode": mode, "prompt": args.prompt, "generate": args.generate,
             "step_seconds": time_of_step, "tokens_per_second": 1 / time_of_step, "achieved_gbps": bytes_read / time_of_step * 1e-9,
             "slowest_s": max(seconds), "fastest_s": min(seconds)}
    say(f"{name}, {mode}: {entry['tokens_per_second']:.1f} tok/s, {entry['achieved_gbps']:.0f} GB/s")
    return entry


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="llama-1b,llama-8b", help="NAME[:MODE],…")
    parser.add_argument("--mode", default="reduce-overhead",
                        help="where --models has none: graph, or of torch.compile: default, reduce-overhead, max-autotune")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--generate", type=int, default=256)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="two small layers: whether the program works")
    parser.add_argument("--out")
    args = parser.parse_args()
    torch.manual_seed(1)
    result = {"peer": f"transformers {transformers.__version__}, torch {torch.__version__}",
              "device": torch.cuda.get_device_name() if args.device == "cuda" else args.device, "models": []}
    for name in args.models.split(","):
        name, _, mode = name.partition(":")
        result["models"].append(measure(name, mode or args.mode, args))
        if args.device == "cuda":
            torch.cuda.empty_cache()
        torch.compiler.reset()
        if args.out:  # what is there so far, should time run out
            Path(args.out).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


START = time.monotonic()
if __name__ == "__main__":
    main()
