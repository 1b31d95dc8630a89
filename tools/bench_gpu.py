#!/usr/bin/env python3
"""make bench-gpu: the figures of a machine with a GPU: the operator table, and models in the shapes of real ones.

    tools/bench_gpu.py [--ingot build/gpu/bin/ingot] [--models FOLDER] [--figures KIND,…] [--only MODEL,…]
                       [--llama-bench PATH] [--out FILE.json]

Makes random checkpoints (tools/bench_checkpoint.py: torch, transformers, tokenizers) and quantised files of them in
FOLDER (default: a temporary one), measures and writes bench/results/<machine>.json with the command, the commit and the
date. Kinds of figures:

    decode    one stream, prompt 128, 256 tokens generated, before and after `ingot tune`
    streams   64 streams of the 8B at context 1024
    rows      1, 2, 4 … 64 rows of the 8B at context 1024: the time of a step
    prefill   the 8B, prompt 4096
    short     the 8B, prompts of 32, 64, 128, 256, against the library's products of that size (tools/peer_products.py)
    context   attention of one step at 32768 tokens, from `ingot explain`
    products  the linears of 1 to 64 generated tokens and of prompts, launches alone, against the library's products of as many
              rows: at least what a fixed order of sums costs, since norms and epilogues are in ours
    start     first token of the 8B, from the start of the process
    account   one decode step, op by op (tools/decode_account.py)
    ops       the operator table (`ingot bench ops`), which takes longest
    peer      llama-bench on the same files, with --llama-bench
    compiled  transformers, its step recorded, and compiled for the 1B (tools/peer_transformers.py); only where named, since
              compiling takes a minute or two

Each figure has what was reached, the limit by what the same run measured the device to do, the share, and what is asked.
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
from dataclasses import dataclass, field
from pathlib import Path

import decode_account

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("decode", "streams", "rows", "prefill", "short", "context", "products", "start", "account", "ops", "peer", "compiled")
LARGE = "llama-8b bf16"  # the model of most figures
MODELS = {"qwen3-0.6b": ["bf16"], "llama-1b": ["bf16", "q8_0", "q4_k", "mxfp4"],
          "llama-8b": ["bf16", "q8_0", "q4_k", "mxfp4"]}
PEER_16_BITS, PEER_TYPES = ("f16", "bf16"), {"llama-8b": ("f16",)}  # which the peer is tried with; 16 GB take long to write
COMPILED = ("qwen3-0.6b:graph", "llama-1b:graph", "llama-8b:graph", "llama-1b:reduce-overhead")
ACCOUNTS = ("llama-8b bf16", "llama-1b bf16", "qwen3-0.6b bf16")
PROMPT, GENERATE = 128, 256  # of decode figures
CONTEXT, STREAM_TOKENS = 1024, 32  # of figures with several rows: the context in the middle of the tokens generated
ROWS = (1, 2, 4, 8, 16, 32, 64)
SHORT = (32, 64, 128, 256)
LONG_PROMPT, LONG_CONTEXT = 4096, 32768
PRODUCT_ROWS, PRODUCT_PROMPTS = (1, 8, 16, 32, 64), (64, 256, 2048)
# What is asked of an H200.
DECODE = {"llama-1b bf16": 1100, "llama-8b bf16": 240, "qwen3-0.6b bf16": 1500, "llama-8b q4_k": 650}  # tok/s
STREAMS_SHARE, ROWS_TIMES, PREFILL_TFLOPS, SHORT_SHARE, CONTEXT_SHARE, START_S = 0.75, 1.35, 600, 0.6, 0.75, 2.0


def say(text):
    print(f"[{time.monotonic() - START:4.0f} s] {text}", file=sys.stderr, flush=True)


def output_of(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench_gpu: {' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr}")
    return done


@dataclass
class Figure:
    name: str
    unit: str  # of limit, reached and asked
    reached: float
    limit: float | None = None
    asked: float | None = None
    asked_share: float | None = None
    is_time: bool = False  # less is better
    note: str = ""

    def share(self):
        if not self.limit:
            return None
        return self.limit / self.reached if self.is_time else self.reached / self.limit

    def is_met(self):
        if self.asked is not None:
            return self.reached <= self.asked if self.is_time else self.reached >= self.asked
        return None if self.asked_share is None else self.share() >= self.asked_share

    def json(self):
        return {"name": self.name, "unit": self.unit, "limit": self.limit, "reached": self.reached, "share": self.share(),
                "asked": self.asked, "asked_share": self.asked_share, "is_met": self.is_met(), "is_time": self.is_time,
                "note": self.note}

    def text(self):
        asked = f"{self.asked:g}" if self.asked is not None else f"{self.asked_share:.0%}" if self.asked_share else ""
        met = {True: ": met", False: ": NOT MET", None: ""}[self.is_met()]
        share = self.share()
        limit = f"of {self.limit:>9.4g} {share:>4.0%} " if share else " " * 18
        return f"{self.name:<46} {self.reached:>10.4g} {self.unit:<8} {limit}" + (f" asked {asked}{met}" if asked else "")


@dataclass
class Session:
    """Runs the program, and keeps what it said."""
    args: argparse.Namespace
    folder: Path
    runs: list = field(default_factory=list)
    figures: list = field(default_factory=list)
    tunings: list = field(default_factory=list)
    shares: dict = field(default_factory=dict)  # of decode, by model

    def checkpoint(self, model):
        """The file or folder of a model, made when it is asked for first."""
        name, dtype = model.split()
        checkpoint = self.folder / name
        if not (checkpoint / "model.safetensors").exists():
            say(f"making {name}")
            output_of([sys.executable, ROOT / "tools/goldens.py", "--bench", name, checkpoint])
        if dtype == "bf16":
            return checkpoint
        return self.quantised(model)

    def quantised(self, model):
        name, dtype = model.split()
        path = self.folder / f"{name}-{dtype}.gguf"
        if not path.exists():
            say(f"writing {path.name}")
            output_of([self.args.ingot, "quantize", self.folder / name, path, "--type", dtype])
        return path

    def tune(self, model, batch=1, context=PROMPT + GENERATE // 2):
        """Lets `ingot tune` choose forms of kernels for a model's step, once; whether any is not the rule's."""
        found = next((known for known in self.tunings if (known["model"], known["batch"]) == (model, batch)), None)
        if found is None:
            told = json.loads(output_of([self.args.ingot, "tune", "-m", self.checkpoint(model), "--device", self.args.device,
                                         "--batch", batch, "--context", context, "--json"]).stdout)
            found = {"model": model, "batch": batch, "context": context, "shapes": told["shapes"], "seconds": told["seconds"]}
            self.tunings.append(found)
        return any(shape["form"] != shape["rule"] for shape in found["shapes"])

    def bench(self, model, prompt, generate, batch=1, rounds=None, tuned=False):
        """The result of `ingot bench`; the same options are measured once."""
        key = {"model": model, "prompt": prompt, "generate": generate, "batch": batch, "tuned": tuned}
        for run in self.runs:
            if all(run[name] == value for name, value in key.items()):
                return run
        found = json.loads(output_of(
            [self.args.ingot, "bench", "-m", self.checkpoint(model), "--device", self.args.device, "-p", prompt, "-n", generate,
             "-b", batch, "-r", rounds or self.args.rounds, "--context", prompt + generate, "--json"]).stdout)
        self.runs.append({**key, "device": found["device"], "prefill": found["prefill"], "decode": found["decode"]})
        return self.runs[-1]

    def tuned_decode(self, model):
        """The last of its decode runs."""
        found = [run for run in self.runs if run["model"] == model and run["prompt"] == PROMPT and run["generate"] == GENERATE]
        return found[-1] if found else self.bench(model, PROMPT, GENERATE)

    def explain(self, model, context, step="decode", prompt=PROMPT, batch=1):
        """What `ingot explain` says of a decode step that sees so many tokens, or of a prompt."""
        found = output_of([self.args.ingot, "explain", "-m", self.checkpoint(model), "--device", self.args.device, "--step",
                           step, "--context", context, "-p", prompt, "-b", batch, "-r", 9, "--json"])
        return json.loads(found.stdout)

    def library(self, rows):
        """What tools/peer_products.py says of so many rows."""
        found = output_of([sys.executable, ROOT / "tools/peer_products.py", "--rows", ",".join(map(str, rows))]).stdout
        return json.loads(found)

    def add(self, figure):
        self.figures.append(figure)
        say(figure.text())


def decode(session, models):
    for model in models:
        found = session.bench(model, PROMPT, GENERATE)["decode"]
        note = ""
        if model.endswith(" bf16") and session.tune(model):  # products with blocks have one form
            note = f"untuned: {found['tokens_per_second']:.4g} tok/s"
            found = session.bench(model, PROMPT, GENERATE, tuned=True)["decode"]
        session.shares[model] = found["share_of_limit"]
        limit = found["tokens_per_second"] / found["share_of_limit"]
        # Blocks are asked for the share that 16 bits have, where nothing is asked in tokens.
        asked = DECODE.get(model)
        plain = session.shares.get(model.split()[0] + " bf16")
        session.add(Figure(f"{model} decode", "tok/s", found["tokens_per_second"], limit, asked,
                           plain if asked is None and not model.endswith("bf16") else None, note=note))


def step_limit(run):
    """Seconds of a step that reads weights, keys and values at the measured bandwidth."""
    found = run["decode"]
    return (found["step_weight_bytes"] + found["step_kv_bytes"]) / (found["limit"] * 1e9)


def at_context(session, batch):
    if batch in (ROWS[0], ROWS[-1]):  # whose ratio is asked for
        session.tune(LARGE, batch, CONTEXT)
    return session.bench(LARGE, CONTEXT - STREAM_TOKENS // 2, STREAM_TOKENS, batch)


def streams(session):
    run = at_context(session, ROWS[-1])
    reached = run["decode"]["tokens_per_second"]
    session.add(Figure(f"{LARGE} {ROWS[-1]} streams at {CONTEXT}", "tok/s", reached, ROWS[-1] / step_limit(run),
                       asked_share=STREAMS_SHARE))


def rows(session):
    """A step of many rows may take little more than one of one row, beyond what its keys and values take."""
    beyond = {}
    for batch in ROWS:
        run = at_context(session, batch)
        step, kv_bytes = run["decode"]["step_seconds"], run["decode"]["step_kv_bytes"]
        beyond[batch] = step - kv_bytes / (run["decode"]["limit"] * 1e9)
        session.add(Figure(f"{LARGE} step of {batch} rows at {CONTEXT}", "ms", 1e3 * step, 1e3 * step_limit(run), is_time=True))
    session.add(Figure(f"{LARGE} step of {ROWS[-1]} rows, times one row's", "×", beyond[ROWS[-1]] / beyond[1], asked=ROWS_TIMES,
                       is_time=True, note="beyond the time of keys and values at the measured bandwidth"))


def prefill(session):
    found = session.bench(LARGE, LONG_PROMPT, 1)["prefill"]
    session.add(Figure(f"{LARGE} prefill {LONG_PROMPT}", "TFLOP/s", found["achieved"] * 1e-3, found["limit"] * 1e-3,
                       asked=PREFILL_TFLOPS))


def short(session):
    library = session.library(SHORT)
    for prompt in SHORT:
        found = session.bench(LARGE, prompt, 1, rounds=7)["prefill"]
        best = library["seconds"][str(prompt)]
        session.add(Figure(f"{LARGE} prompt {prompt}", "tok/s", found["tokens_per_second"], prompt / best,
                           asked_share=SHORT_SHARE, note="limit: the library's products of this many rows alone"))


def context(session):
    explained = session.explain(LARGE, LONG_CONTEXT)
    rows_of = [row for row in explained["steps"][0]["rows"] if row["op"] == "attention"]
    gbps = explained["devices"][0]["read_gbps"]
    us = sum(row["measured_us"] for row in rows_of)
    reached = sum(row["bytes"] for row in rows_of) / us * 1e-3
    session.add(Figure(f"{LARGE} attention at {LONG_CONTEXT}", "GB/s", reached, gbps, asked_share=CONTEXT_SHARE,
                       note="launches alone"))


def products(session):
    library = session.library((*PRODUCT_ROWS, *PRODUCT_PROMPTS))
    for step, counts in (("decode", PRODUCT_ROWS), ("prefill", PRODUCT_PROMPTS)):
        for count in counts:
            explained = session.explain(LARGE, CONTEXT, batch=count) if step == "decode" else \
                session.explain(LARGE, count, step, prompt=count)
            us = sum(row["measured_us"] for row in explained["steps"][0]["rows"] if "linear" in row["op"] and row["layer"] >= 0)
            limit = 1e6 * library["seconds"][str(count)] - 1e3 * library["head_ms"]
            session.add(Figure(f"{LARGE} linears of {count} rows, {step}", "µs", us, limit, is_time=True,
                               note="limit: the library's products of this many rows; launches alone, without the head"))


def start(session):
    """Seconds from the start of the process, with the file in the page cache, and GB/s of the weights on their way."""
    seconds, rates = [], []
    for _ in range(3):
        found = output_of([session.args.ingot, "run", "Once upon a time", "-m", session.checkpoint(LARGE), "--device",
                           session.args.device, "--context", "4096", "-n", "2", "--temperature", "0", "--ignore-eos",
                           "--stats=json"]).stderr
        pool = json.loads(found[found.index("{"):])["pools"][0]
        if pool["weight_seconds"]:
            rates.append(pool["weight_bytes"] / pool["weight_seconds"] * 1e-9)
        seconds.append(float(re.search(r"first token ([0-9.]+) s", found).group(1)))
    session.add(Figure(f"{LARGE} first token", "s", statistics.median(seconds), asked=START_S, is_time=True,
                       note=f"weights at {statistics.median(rates):.0f} GB/s" if rates else ""))


def account(session, models):
    accounts = []
    for model in (model for model in ACCOUNTS if model in models):
        run = session.tuned_decode(model)
        found = decode_account.account(model, session.explain(model, PROMPT + GENERATE // 2), run["decode"])
        accounts.append(found)
        print(decode_account.markdown(found), flush=True)
    return accounts


def peer(session, models):
    """llama-bench on files of the same types: decode behind a prompt, and a long prompt. 16 bits: the faster of its types."""
    found = []
    for model in models:
        name, dtype = model.split()
        best = {"model": model}
        for kind in PEER_TYPES.get(name, PEER_16_BITS) if dtype == "bf16" else [dtype]:
            path = session.quantised(f"{name} {kind}")  # it reads GGUF alone
            tests = json.loads(output_of([session.args.llama_bench, "-m", path, "-p", LONG_PROMPT, "-n", 0, "-gp",
                                          f"{PROMPT},{GENERATE}", "-ub", 2048, "-b", 2048, "-ngl", 99, "-fa", 1, "-r", 3, "-o",
                                          "json"]).stdout)
            speeds = {"decode" if test["n_gen"] else "prefill": test["avg_ts"] for test in tests}
            for step, speed in speeds.items():
                if speed > best.get(step, 0):
                    best.update({step: speed, f"{step}_type": kind})
            if dtype == "bf16":
                path.unlink()  # as large as the checkpoint
        found.append(best)
        say(f"{model}, llama-bench: decode {best['decode']:.1f} tok/s ({best['decode_type']}), prefill {LONG_PROMPT} "
            f"{best['prefill']:.0f} tok/s ({best['prefill_type']})")
    return found


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


def measure(session, kinds, models, result):
    """Everything that is asked for, into `result`, which is complete up to where an error ends the run."""
    result.update(figures=[], runs=session.runs)
    if "decode" in kinds:
        decode(session, models)
    if LARGE in models:
        for kind, function in (("prefill", prefill), ("short", short), ("streams", streams), ("rows", rows),
                               ("context", context), ("products", products), ("start", start)):
            if kind in kinds:
                function(session)
    result["figures"] = [figure.json() for figure in session.figures]
    result["tunings"] = session.tunings
    if "account" in kinds:
        result["accounts"] = account(session, models)
    if "peer" in kinds and session.args.llama_bench:
        result["peer"] = {"name": session.args.peer_name, "models": peer(session, models)}
    if "compiled" in kinds:
        wanted = [entry for entry in COMPILED if f"{entry.split(':')[0]} bf16" in models]
        found = output_of([sys.executable, ROOT / "tools/peer_transformers.py", "--models", ",".join(wanted)])
        say(found.stderr.strip())
        result["compiled"] = json.loads(found.stdout)
    if "ops" in kinds:
        say("the operator table")
        table = session.folder / "ops.json"
        command = [session.args.ingot, "bench", "ops", "--json", table, *(["--quick"] if session.args.quick else [])]
        print(output_of(command).stdout, flush=True)
        result["ops"] = json.loads(table.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", default=str(ROOT / "build/gpu/bin/ingot"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", help="where checkpoints are, or are made and kept; default: temporary")
    parser.add_argument("--figures", default="", help=f"kinds, comma-separated, of {', '.join(KINDS)} (default: all but compiled)")
    parser.add_argument("--only", default="", help="models, comma-separated: 'llama-1b' or 'llama-1b q8_0' (default: all)")
    parser.add_argument("--quick", action="store_true", help="of the operator table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama-bench", help="the peer's program")
    parser.add_argument("--peer-name", default="ik_llama.cpp", help="what to call it")
    parser.add_argument("--commit", help="default: git rev-parse")
    parser.add_argument("--out", help="default: bench/results/<machine>.json")
    args = parser.parse_args()
    kinds = [kind for kind in args.figures.split(",") if kind] or [kind for kind in KINDS if kind != "compiled"]
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"--figures: expected some of {', '.join(KINDS)}, found {', '.join(unknown)}")
    models = [f"{name} {dtype}" for name, types in MODELS.items() for dtype in types]
    only = [name for name in args.only.split(",") if name]
    if unknown := [name for name in only if name not in models and name not in MODELS]:
        parser.error(f"--only: expected some of {', '.join(MODELS)}, with a type or without, found {', '.join(unknown)}")
    models = [model for model in models if not only or model in only or model.split()[0] in only]

    machine = machine_name(args.device)
    slug = re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-")
    out = Path(args.out or ROOT / f"bench/results/{slug}.json")
    result = {"machine": f"{machine}, {len(os.sched_getaffinity(0))} CPU cores", "date": datetime.date.today().isoformat(),
              "commit": commit_of(args), "command": " ".join(["tools/bench_gpu.py", *sys.argv[1:]])}
    folder = Path(args.models or tempfile.mkdtemp(prefix="ingot-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    cache = tempfile.TemporaryDirectory(prefix="ingot-cache-")  # nobody's earlier tuning
    os.environ["XDG_CACHE_HOME"] = cache.name
    session = Session(args, folder)
    try:
        measure(session, kinds, models, result)
    finally:
        result["figures"] = [figure.json() for figure in session.figures]
        result["tunings"] = session.tunings
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n")
        say(f"written: {out}")
        if not args.models:
            shutil.rmtree(folder)
    print("\n".join(figure.text() for figure in session.figures))
    if any(figure.is_met() is False for figure in session.figures):
        raise SystemExit("bench_gpu: a figure is not met")


START = time.monotonic()
if __name__ == "__main__":
    main()
