#!/usr/bin/env python3
"""make bench-gpu: the figures of a machine with a GPU: the operator table, and models in the shapes of real ones.

    tools/bench_gpu.py [--ingot build/gpu/bin/ingot] [--models FOLDER] [--only NAME,…] [--out FILE.json]

Makes random checkpoints (tools/bench_checkpoint.py: torch, transformers, tokenizers) and quantised files of them in
FOLDER (default: a temporary one), runs `ingot bench ops` and `ingot bench` on each, times the first token, and writes
bench/results/<machine>.json with the command, the commit and the date. With 16 cores the table and all models but the 8B in q8_0 took 144 s,
checkpoints already made.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Checkpoint: the types it is measured in.
MODELS = {"qwen3-0.6b": ["bf16"], "llama-1b": ["bf16", "q8_0", "q4_k"], "llama-8b": ["bf16", "q8_0", "q4_k"]}
PROMPTS = (512, 4096)
# The floors for an H200: share of bandwidth in decode, TFLOP/s in prefill, seconds to the first token.
FLOORS = {("llama-8b bf16", "decode_share"): 0.55, ("llama-1b bf16", "decode_share"): 0.40,
          ("llama-8b bf16", "prefill_tflops"): 300, ("llama-8b bf16", "first_token_s"): 2.5}


def say(text):
    print(f"[{time.monotonic() - START:4.0f} s] {text}", file=sys.stderr, flush=True)


def output_of(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench_gpu: {' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr}")
    return done


def make_models(args, folder):
    """(name, path) of every model, each made when it is asked for."""
    for name, types in MODELS.items():
        wanted = [t for t in types if not args.only or f"{name} {t}" in args.only or name in args.only]
        if not wanted:
            continue
        checkpoint = folder / name
        if not (checkpoint / "model.safetensors").exists():
            say(f"making {name}")
            output_of([sys.executable, ROOT / "tools/goldens.py", "--bench", name, checkpoint])
        for dtype in wanted:
            path = checkpoint if dtype == "bf16" else folder / f"{name}-{dtype}.gguf"
            if not path.exists():
                say(f"quantising {path.name}")
                output_of([args.ingot, "quantize", checkpoint, path, "--type", dtype])
            yield f"{name} {dtype}", path


def first_token(args, path):
    """Seconds from the start of the process, with the file in the page cache, and GB/s of the weights on their way."""
    found = output_of([args.ingot, "run", "Once upon a time", "-m", path, "--device", args.device, "--context", "4096", "-n", "2",
                       "--temperature", "0", "--ignore-eos", "--stats=json"]).stderr
    pool = json.loads(found[found.index("{"):])["pools"][0]
    gbps = pool["weight_bytes"] / pool["weight_seconds"] * 1e-9 if pool["weight_seconds"] else None
    return float(re.search(r"first token ([0-9.]+) s", found).group(1)), gbps


def bench(args, name, path):
    entry = {"model": name, "runs": []}
    for prompt in PROMPTS:
        result = json.loads(output_of(
            [args.ingot, "bench", "-m", path, "--device", args.device, "-p", prompt, "-n", 128, "-r", args.rounds, "--context",
             prompt + 128, "--json"]).stdout)
        entry["runs"].append({"prompt": prompt, "generate": 128, **result})
        decode, prefill = result["decode"], result["prefill"]
        say(f"{name}, prompt {prompt}: prefill {prefill['tokens_per_second']:.0f} tok/s, "
            f"{prefill['achieved'] / 1e3:.1f} T{prefill['unit'][1:]} ({prefill['share_of_limit']:.0%}); decode "
            f"{decode['tokens_per_second']:.1f} tok/s, {decode['achieved']:.0f} GB/s ({decode['share_of_limit']:.0%})")
    starts = [first_token(args, path) for _ in range(3)]
    entry["first_token_s"] = [seconds for seconds, _ in starts]
    entry["weights_gbps"] = [gbps for _, gbps in starts]
    say(f"{name}: first token after {', '.join(f'{s:.2f}' for s in entry['first_token_s'])} s")
    return entry


def figures(entry):
    short, long = entry["runs"][0], entry["runs"][-1]
    return {"decode_share": short["decode"]["share_of_limit"], "prefill_tflops": long["prefill"]["achieved"] / 1e3,
            "first_token_s": statistics.median(entry["first_token_s"])}


def check_floors(models):
    all_met = True
    found = {entry["model"]: figures(entry) for entry in models}
    for (model, figure), floor in FLOORS.items():
        if model not in found:
            continue
        value = found[model][figure]
        meets = value <= floor if figure == "first_token_s" else value >= floor
        say(f"{model}: {figure} {value:.3g}, asked {floor:g}: {'met' if meets else 'NOT MET'}")
        all_met = all_met and meets
    return all_met


def machine_name(device):
    if device == "cuda":
        found = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
        if found.returncode == 0 and found.stdout.strip():
            return found.stdout.splitlines()[0].strip()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return "unknown"


def commit_of(args):
    if args.commit:
        return args.commit
    found = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", default=str(ROOT / "build/gpu/bin/ingot"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", help="where checkpoints are, or are made and kept; default: temporary")
    parser.add_argument("--only", default="", help="models, comma-separated: 'llama-1b' or 'llama-1b q8_0'; 'none'")
    parser.add_argument("--no-ops", action="store_true", help="leave the operator table out")
    parser.add_argument("--quick", action="store_true", help="of the operator table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commit", help="default: git rev-parse")
    parser.add_argument("--out", help="default: bench/results/<machine>.json")
    args = parser.parse_args()
    args.only = [name for name in args.only.split(",") if name]
    machine = machine_name(args.device)
    slug = re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-")
    out = Path(args.out or ROOT / f"bench/results/{slug}.json")
    result = {"machine": f"{machine}, {len(os.sched_getaffinity(0))} CPU cores", "date": datetime.date.today().isoformat(),
              "commit": commit_of(args), "command": " ".join(["tools/bench_gpu.py", *sys.argv[1:]])}
    folder = Path(args.models or tempfile.mkdtemp(prefix="ingot-bench-"))
    try:
        if not args.no_ops:
            say("the operator table")
            table = folder / "ops.json"
            folder.mkdir(parents=True, exist_ok=True)
            command = [args.ingot, "bench", "ops", "--json", table, *(["--quick"] if args.quick else [])]
            print(output_of(command).stdout, flush=True)
            result["ops"] = json.loads(table.read_text())
        result["models"] = [bench(args, name, path) for name, path in make_models(args, folder)]
    finally:
        if not args.models:
            shutil.rmtree(folder)
    all_met = check_floors(result["models"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    say(f"written: {out}")
    if not all_met:
        raise SystemExit("bench_gpu: a floor is not met")


START = time.monotonic()
if __name__ == "__main__":
    main()
