#!/usr/bin/env python3
"""Draws the operator table of a machine: the time of each op over its size, on the CPU and on the GPU.

    tools/plot_ops.py bench/results/MACHINE.json docs/ops.svg

Takes a result of tools/bench_gpu.py, or what `ingot bench ops --json` wrote. Needs nothing but Python.
"""

import html
import json
import math
import sys
from pathlib import Path

COLUMNS, WIDTH, HEIGHT, GAP, LEFT, TOP = 4, 250, 170, 54, 62, 108  # pixels; of a panel, and around them
COLOURS = {"cpu": "#d97706", "gpu": "#2563eb", "fused": "#059669"}
INK, FAINT = "#1f2328", "#d8dee4"


def power(n):
    return f'10<tspan dy="-5" font-size="8">{n}</tspan>'


def time_text(exponent):
    return {0: "1 µs", 3: "1 ms", 6: "1 s"}[exponent]


class Panel:
    """One op: logarithmic axes, elements of output to the right and microseconds up."""

    def __init__(self, x, y, x_range, y_range):
        self.x, self.y, self.x_range, self.y_range, self.parts = x, y, x_range, y_range, []

    def at(self, elements, us):
        low, high = self.x_range
        bottom, top = self.y_range
        right = (math.log10(elements) - low) / (high - low)
        up = (math.log10(us) - bottom) / (top - bottom)
        return self.x + right * WIDTH, self.y + HEIGHT - up * HEIGHT

    def text(self, x, y, text, size=11, anchor="start", colour=INK, weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
                          f'font-weight="{weight}">{text}</text>')

    def line(self, x1, y1, x2, y2, colour=FAINT, dash=""):
        dash = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>')

    def axes(self):
        for n in range(math.ceil(self.x_range[0]), math.floor(self.x_range[1]) + 1):
            x, _ = self.at(10**n, 1)
            self.line(x, self.y, x, self.y + HEIGHT)
            self.text(x, self.y + HEIGHT + 15, power(n), 10, "middle")
        for n in range(math.ceil(self.y_range[0]), math.floor(self.y_range[1]) + 1):
            _, y = self.at(10 ** self.x_range[0], 10**n)
            self.line(self.x, y, self.x + WIDTH, y)
            if n in (0, 3, 6):
                self.text(self.x - 5, y + 4, time_text(n), 10, "end")

    def curve(self, points, colour):
        """points: (elements, us)."""
        if not points:
            return
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in (self.at(*point) for point in points):
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{colour}"/>')


def us_of(row, device, forms):
    """The shortest time of these forms."""
    found = [row["devices"][device][form]["us"] for form in forms if row["devices"].get(device, {}).get(form)]
    return min(found) if found else None


def series(rows, device, forms):
    points = [(row["elements"], us_of(row, device, forms)) for row in rows if not row["is_model_size"]]
    return [(elements, us) for elements, us in points if us]


def speedups(rows):
    """Of the models' sizes: "12 to 40 times the CPU, fused 15 to 50"."""
    texts = []
    for key, name in (("speedup", ""), ("fused_speedup", "fused ")):
        found = [row[key] for row in rows if row["is_model_size"] and row.get(key)]
        if found:
            low, high = f"{min(found):.3g}", f"{max(found):.3g}"
            texts.append(name + (low if low == high else f"{low}–{high}") + " ×")
    return ", ".join(texts)


def draw_op(panel, name, rows, gpu, crossover):
    panel.axes()
    panel.text(panel.x, panel.y - 20, html.escape(name), 13, weight="bold")
    panel.curve(series(rows, "cpu", ("unfused", "fused")), COLOURS["cpu"])
    if not gpu:
        return
    panel.curve(series(rows, gpu, ("unfused",)), COLOURS["gpu"])
    panel.curve(series(rows, gpu, ("fused",)), COLOURS["fused"])
    notes = [f"at models’ sizes {speedups(rows)}"] if speedups(rows) else []
    if crossover and crossover["elements"]:
        x, _ = panel.at(max(crossover["elements"], 10 ** panel.x_range[0]), 1)
        panel.line(x, panel.y, x, panel.y + HEIGHT, INK, "3 3")
        below = "≤ " if crossover["is_smallest"] else ""
        notes.append(f"faster from {below}{crossover['elements']:,}".replace(",", " "))
    panel.text(panel.x, panel.y - 6, html.escape("; ".join(notes)), 10)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    result = json.loads(Path(sys.argv[1]).read_text())
    table = result.get("ops", result)
    gpu = next((device["name"] for device in table["devices"] if device["name"] != "cpu"), None)
    groups = {}
    for row in table["rows"]:
        groups.setdefault(row["op"], []).append(row)
    crossovers = {entry["op"]: entry for entry in table["crossovers"]}
    plain = [row for row in table["rows"] if not row["is_model_size"]]
    times = [form["us"] for row in plain for device in row["devices"].values()
             for form in (device["unfused"], device["fused"]) if form]
    x_range = (3, max(4, math.ceil(math.log10(max(row["elements"] for row in plain)) - 0.1)))
    x_range = (2.9, x_range[1] + 0.1)
    y_range = (math.floor(math.log10(min(times))), math.ceil(math.log10(max(times))))
    lines = math.ceil(len(groups) / COLUMNS)
    width, height = LEFT + COLUMNS * (WIDTH + GAP), TOP + lines * (HEIGHT + GAP + 22)
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                  f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif">\n'
                  f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n')
        head = Panel(LEFT, 0, x_range, y_range)
        head.text(LEFT, 28, "Time of single ops by elements of output, operands on the device", 16, weight="bold")
        names = "; ".join(device["description"] for device in table["devices"])
        stamp = ", ".join(str(result[key]) for key in ("date", "commit") if key in result)
        head.text(LEFT, 47, html.escape(names + (f" ({stamp})" if stamp else "")), 11)
        x = LEFT
        for key, label in (("cpu", "CPU, all cores, the better of fused and unfused"), ("gpu", "GPU, op by op"), ("fused", "GPU, fused")):
            if key != "cpu" and not gpu:
                continue
            head.line(x, 64, x + 22, 64, COLOURS[key])
            head.text(x + 28, 68, label, 11)
            x += 46 + 6.1 * len(label)
        out.write("\n".join(head.parts) + "\n")
        for i, (name, rows) in enumerate(groups.items()):
            panel = Panel(LEFT + i % COLUMNS * (WIDTH + GAP), TOP + i // COLUMNS * (HEIGHT + GAP + 22), x_range, y_range)
            draw_op(panel, name, rows, gpu, crossovers.get(name))
            out.write("\n".join(panel.parts) + "\n")
        out.write("</svg>\n")


if __name__ == "__main__":
    main()
