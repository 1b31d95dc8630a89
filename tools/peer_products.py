#!/usr/bin/env python3
"""What a model's products of so many rows take with the library's best for each size: what short prompts are held against.

    tools/peer_products.py [--model llama-8b] [--rows 32,64,128,256] [--layers 8]

torch multiplies bf16 rows with the weights of the shapes of a published model (tools/bench_shapes.py): queries, keys and
values as one matrix, gate and up as one, cuBLAS choosing for each size. --layers different layers, more than the cache holds,
run in turn in one CUDA graph; the time is that of all layers of the model and of the head for one row; "each" has the shapes
one by one. Nothing else of a step is in it: no attention, no norm, no activation.
"""

import argparse
import json
import statistics
import sys

import torch

from bench_shapes import CONFIGS

REPLAYS = 21


def milliseconds(graph):
    times = []
    for _ in range(REPLAYS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def recorded(work):
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    graph.replay()
    return graph


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama-8b", choices=CONFIGS)
    parser.add_argument("--rows", default="32,64,128,256")
    parser.add_argument("--layers", type=int, default=8)
    args = parser.parse_args()
    config = CONFIGS[args.model]
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head_dim = config.get("head_dim") or hidden // heads
    keys = config["num_key_value_heads"] * head_dim
    shapes = {"qkv": (heads * head_dim + 2 * keys, hidden), "o": (hidden, heads * head_dim), "gate_up": (2 * inner, hidden),
              "down": (hidden, inner)}

    def matrix(rows, columns):
        return torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) / columns**0.5

    layers = [{name: matrix(*shape) for name, shape in shapes.items()} for _ in range(args.layers)]
    head = matrix(config["vocab_size"], hidden)
    one = matrix(1, hidden)
    head_ms = milliseconds(recorded(lambda: torch.nn.functional.linear(one, head)))
    seconds, each_us = {}, {}
    for rows in (int(text) for text in args.rows.split(",")):
        inputs = {width: matrix(rows, width) for width in {shape[1] for shape in shapes.values()}}

        def work(names):
            for layer in layers:
                for name in names:
                    torch.nn.functional.linear(inputs[layer[name].shape[1]], layer[name])

        layer_ms = milliseconds(recorded(lambda: work(shapes))) / args.layers
        each_us[rows] = {name: 1e3 * milliseconds(recorded(lambda: work([name]))) / args.layers for name in shapes}
        seconds[rows] = 1e-3 * (layer_ms * config["num_hidden_layers"] + head_ms)
        print(f"{args.model}, {rows} rows: {1e3 * seconds[rows]:.3f} ms, {rows / seconds[rows]:.0f} tok/s; each "
              + ", ".join(f"{name} {us:.1f} µs" for name, us in each_us[rows].items()), file=sys.stderr)
    print(json.dumps({"model": args.model, "torch": torch.__version__, "head_ms": head_ms, "seconds": seconds,
                      "each_us": each_us}))


if __name__ == "__main__":
    main()
