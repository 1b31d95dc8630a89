#!/usr/bin/env python3
"""The account of one decode step: what each op reads, takes and could take, and what lies between them.

    tools/decode_account.py RESULT.json                          the accounts in it as Markdown
    tools/decode_account.py --explain E.json --bench B.json --model NAME [--out RESULT.json]

RESULT.json comes from `tools/bench_gpu.py --figures account`, E.json from `ingot explain --step decode --json`, B.json from
`ingot bench --json` behind a prompt and with a generation that have the same context on average.
"""

import argparse
import json
import re
import sys
from pathlib import Path

LEAST_SHARE = 0.01  # of the time: what takes less is listed as one row, unless it multiplies


def role(row, roles_of_op):
    """What tells launches of one op apart: the part of the layer that they compute."""
    leaf = re.sub(r"^.*\.", "", row["label"])
    return f"{row['op']} ({leaf})" if leaf and len(roles_of_op[row["op"]]) > 1 else row["op"]


def groups_of(entries):
    """Sums of (name, bytes, us) by name, in the order in which names appear."""
    groups = {}
    for name, size, us in entries:
        group = groups.setdefault(name, {"op": name, "launches": 0, "bytes": 0, "us": 0})
        group["launches"] += 1
        group["bytes"] += size
        group["us"] += us
    return list(groups.values())


def with_shares(groups, gbps):
    """Small ones as one row; each with its part of the time, and what it would take at the whole bandwidth."""
    total = sum(group["us"] for group in groups)
    is_small = lambda group: group["us"] < LEAST_SHARE * total and "linear" not in group["op"]
    small = [group for group in groups if is_small(group)]
    groups = [group for group in groups if not is_small(group)]
    if small:
        groups.append({"op": ", ".join(group["op"] for group in small),
                       **{key: sum(group[key] for group in small) for key in ("launches", "bytes", "us")}})
    for group in groups:
        group["of_time"] = group["us"] / total
        group["ideal_us"] = group["bytes"] / gbps * 1e-3
        group["share"] = group["ideal_us"] / group["us"]
    return groups


def account(model, explanation, decode):
    """Of an explanation of a decode step and the "decode" of a bench of the same context."""
    step = explanation["steps"][0]
    gbps = explanation["devices"][0]["read_gbps"]
    rows = step["rows"]
    roles = {}
    for row in rows:
        roles.setdefault(row["op"], set()).add(re.sub(r"^.*\.", "", row["label"]))
    groups = with_shares(groups_of((role(row, roles), row["bytes"], row["measured_us"]) for row in rows), gbps)
    alone = sum(row["measured_us"] for row in rows)
    real = decode["step_seconds"] * 1e6
    read = decode["step_weight_bytes"] + decode["step_kv_bytes"]
    return {"model": model, "context": step["context"], "read_gbps": gbps, "launches": step["launches"], "ops": groups,
            "alone_us": alone, "step_us": real, "step_weight_bytes": decode["step_weight_bytes"],
            "step_kv_bytes": decode["step_kv_bytes"], "ideal_us": read / gbps * 1e-3, "share": read / gbps * 1e-3 / real,
            # Less than nothing where kernels begin before those ahead have ended.
            "between_us": real - alone}


def size_text(size):
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"


def table(groups):
    lines = ["| op | launches | bytes | takes | of the time | bandwidth | at 100 % |", "|---|---:|---:|---:|---:|---:|---:|"]
    for group in groups:
        lines.append(f"| {group['op']} | {group['launches']} | {size_text(group['bytes'])} | {group['us']:,.1f} µs | "
                     f"{group['of_time']:.0%} | {group['share']:.0%} | {group['ideal_us']:,.1f} µs |")
    return lines


def markdown(found):
    lines = [f"**{found['model']}**, a context of {found['context']} tokens, a read bandwidth of {found['read_gbps']:,.0f} GB/s: "
             f"the step takes {found['step_us']:,.1f} µs, its bytes ({size_text(found['step_weight_bytes'])} of weights, "
             f"{size_text(found['step_kv_bytes'])} of keys and values) {found['ideal_us']:,.1f}: {found['share']:.0%}.", ""]
    between = found["between_us"]
    lines += [*table(found["ops"]), "",
              f"Alone the launches sum to {found['alone_us']:,.1f} µs; the step takes {abs(between):,.1f} µs "
              + ("more: gaps." if between > 0 else "less: what overlaps saves more than gaps cost."), ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", nargs="?", help="with accounts")
    parser.add_argument("--explain")
    parser.add_argument("--bench")
    parser.add_argument("--model", default="")
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.result:
        result = json.loads(Path(args.result).read_text())
    elif args.explain and args.bench:
        result = {"accounts": [account(args.model, json.loads(Path(args.explain).read_text()),
                                       json.loads(Path(args.bench).read_text())["decode"])]}
    else:
        parser.error("expected RESULT.json, or --explain and --bench")
    if args.out:
        Path(args.out).write_text(json.dumps(result, indent=1) + "\n")
    for found in result.get("accounts", []):
        sys.stdout.write(markdown(found) + "\n")


if __name__ == "__main__":
    main()
