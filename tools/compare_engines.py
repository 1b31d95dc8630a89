#!/usr/bin/env python3
"""Times Ingot and llama-bench (of llama.cpp or a fork) on the same GGUF files by turns, and prints medians.

    tools/compare_engines.py --ingot build/release/bin/ingot --peer PATH/llama-bench [--out RESULT.json] FILE.gguf …

Every round runs each engine once, so that both see the same machine: a shared one changes within minutes. Shares of the
read bandwidth use what `ingot bench` measured in the same round. The peer runs twice a round, as it is and with its
weights repacked while loading (-rtr 1); the faster counts. RESULT.json keeps every sample, the command, commit and date.
"""
import argparse
import datetime
import json
import pathlib
import platform
import statistics
import subprocess


def run(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def ingot(args, file, prompt, generate):
    result = run([*args.prefix, args.ingot, "bench", "-m", file, "-p", prompt, "-n", generate, "-r", "1", "--json",
                  "--threads", args.threads])
    decode = result["decode"]
    return {"prefill": result["prefill"]["tokens_per_second"], "prefill_share": result["prefill"]["share_of_limit"],
            "decode": decode["tokens_per_second"], "decode_share": decode["share_of_limit"],
            "token_gb": decode["achieved"] / decode["tokens_per_second"], "read_gbps": decode["limit"]}


def peer(args, file, prompt, generate, repack):
    tests = run([*args.prefix, args.peer, "-m", file, "-p", prompt, "-n", generate, "-r", "1", "-t", args.threads, "-rtr",
                 repack, "-o", "json"])
    speed = lambda test: test["avg_ts"]
    return {"prefill": max(speed(t) for t in tests if t["n_prompt"] and not t["n_gen"]),
            "decode": max(speed(t) for t in tests if t["n_gen"] and not t["n_prompt"])}


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return platform.processor()


def measure(args, file, prompt):
    rounds = []
    for _ in range(args.rounds):
        ours = ingot(args, file, prompt, args.generate)
        theirs = [peer(args, file, prompt, args.generate, repack) for repack in ("0", "1")]
        rounds.append({"ingot": ours, "peer": {"prefill": max(p["prefill"] for p in theirs),
                                               "decode": max(p["decode"] for p in theirs)}})
    median = lambda get: statistics.median(get(r) for r in rounds)
    return {"file": pathlib.Path(file).name, "prompt": int(prompt), "generate": int(args.generate), "rounds": rounds,
            "median": {
                "prefill": median(lambda r: r["ingot"]["prefill"]),
                "peer_prefill": median(lambda r: r["peer"]["prefill"]),
                "prefill_ratio": median(lambda r: r["ingot"]["prefill"] / r["peer"]["prefill"]),
                "decode": median(lambda r: r["ingot"]["decode"]),
                "peer_decode": median(lambda r: r["peer"]["decode"]),
                "decode_ratio": median(lambda r: r["ingot"]["decode"] / r["peer"]["decode"]),
                "decode_share": median(lambda r: r["ingot"]["decode_share"]),
                "peer_decode_share": median(
                    lambda r: r["peer"]["decode"] * r["ingot"]["token_gb"] / r["ingot"]["read_gbps"]),
                "read_gbps": median(lambda r: r["ingot"]["read_gbps"])}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingot", required=True)
    parser.add_argument("--peer", required=True, help="llama-bench")
    parser.add_argument("--peer-name", default="ik_llama.cpp")
    parser.add_argument("--prompts", default="128,512")
    parser.add_argument("--generate", default="32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--prefix", default="", help="put before every command, e.g. 'chrt -f 20'")
    parser.add_argument("--out")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    args.prefix = args.prefix.split()
    results = []
    for file in args.files:
        for prompt in args.prompts.split(","):
            results.append(measure(args, file, prompt))
            m = results[-1]["median"]
            print(f"{results[-1]['file']}  prompt {prompt}: prefill {m['prefill']:.0f} tok/s, {m['prefill_ratio']:.2f} times "
                  f"the peer's {m['peer_prefill']:.0f}; decode {m['decode']:.1f} tok/s ({m['decode_share']:.0%} of "
                  f"{m['read_gbps']:.0f} GB/s), {m['decode_ratio']:.2f} times {m['peer_decode']:.1f} "
                  f"({m['peer_decode_share']:.0%})", flush=True)
    if args.out:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        command = (f"tools/compare_engines.py --prompts {args.prompts} --generate {args.generate} --rounds {args.rounds} "
                   f"--threads {args.threads} {' '.join(pathlib.Path(f).name for f in args.files)}")
        pathlib.Path(args.out).write_text(json.dumps(
            {"machine": f"{cpu_name()}, {args.threads} threads", "date": datetime.date.today().isoformat(), "commit": commit,
             "command": command, "peer": args.peer_name, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
