#!/usr/bin/env python3
"""Prints the table of docs/quantize.md: what each type of `ingot quantize` costs on a model.

    python3 tools/quantize_table.py build/release/bin/ingot models/storyteller tests/data/fairytales-valid.txt

Needs nothing but Python. Takes a minute a type on two cores for the storyteller.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

TYPES = ["f32", "f16", "bf16", "q8_0", "q6_k", "q4_k_m", "q4_k", "q4_0", "mxfp4"]


def run(*command: str) -> dict:
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def row(name: str, size: int, bits: float, perplexity: float, first: float, held: str) -> str:
    loss = 100 * (perplexity / first - 1)
    return f"| {name} | {size / 2**20:.1f} | {bits:.2f} | {perplexity:.3f} | {loss:+.2f} % | {held} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ingot")
    parser.add_argument("model")
    parser.add_argument("text")
    options = parser.parse_args()
    print("| type | file, MiB | bits a weight | perplexity | change | what the file holds |")
    print("|---|---|---|---|---|---|")
    first = None  # of the first type, f32, with which the others are compared: the same tokens are scored
    with tempfile.TemporaryDirectory() as folder:
        for name in TYPES:
            file = f"{folder}/{name}.gguf"
            made = run(options.ingot, "quantize", options.model, file, "--type", name, "--json")
            found = run(options.ingot, "perplexity", options.text, "-m", file, "--json")["perplexity"]
            first = first or found
            held = ", ".join(f"{of['tensors']} {dtype}" for dtype, of in made["types"].items())
            print(row(name, made["output_bytes"], made["bits_per_weight"], found, first, held), flush=True)
            Path(file).unlink()


if __name__ == "__main__":
    main()
