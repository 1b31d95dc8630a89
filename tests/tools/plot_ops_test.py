#!/usr/bin/env python3
"""tools/plot_ops.py draws a panel for each op of a made-up table, of one device and of two."""

import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools/plot_ops.py"


def row(op, elements, devices, is_model_size=False):
    timing = lambda us: {"us": us, "gbps": 1, "gflops": 1, "share_of_limit": 0.5, "kernels": op}
    made = {name: {"unfused": timing(us), "fused": timing(us / 2) if op == "a+b" else None} for name, us in devices.items()}
    found = {"op": op, "shape": "", "elements": elements, "is_model_size": is_model_size, "devices": made}
    return {**found, "speedup": 12.5} if "cuda" in devices else found


def draw(devices):
    rows = [row(op, 10**n, {name: factor * 10 ** (n - 2) for name, factor in devices.items()})
            for op in ("add", "a+b") for n in (3, 4, 5)]
    rows += [row("add", 2000, devices, True), {**row("a+b", 10**6, devices), "devices": {
        name: {"unfused": None, "fused": None, "why_not": "would take about 9 s"} for name in devices}}]
    table = {"devices": [{"name": name, "description": name} for name in devices], "rows": rows,
             "crossovers": [{"op": "add", "elements": 12345, "is_smallest": False}] if len(devices) > 1 else []}
    with tempfile.TemporaryDirectory() as folder:
        source, picture = Path(folder) / "ops.json", Path(folder) / "ops.svg"
        source.write_text(json.dumps({"date": "2026-01-02", "commit": "abc", "ops": table}))
        subprocess.run([sys.executable, str(TOOL), str(source), str(picture)], check=True)
        root = ElementTree.parse(picture).getroot()
    name = "{http://www.w3.org/2000/svg}"
    return ["".join(text.itertext()) for text in root.iter(name + "text")], len(list(root.iter(name + "polyline")))


def check(condition, what):
    if not condition:
        sys.exit(f"plot_ops: {what}")


texts, curves = draw({"cpu": 1.0})
check(curves == 2 and "add" in texts and "a+b" in texts, f"expected a curve for each op, found {curves} and {texts}")
texts, curves = draw({"cpu": 1.0, "cuda": 0.1})
check(curves == 5, f"expected two curves, and one for the fused op, found {curves}")
check("at models’ sizes 12.5 ×; faster from 12 345" in texts, f"expected the speed-up and the crossover in {texts}")
