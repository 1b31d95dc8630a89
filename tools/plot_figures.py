#!/usr/bin/env python3
"""Draws the figures of a machine: what was reached of each limit, and what is asked; prints the same as a Markdown table.

    tools/plot_figures.py bench/results/MACHINE.json docs/figures.svg

Takes a result of tools/bench_gpu.py; peers that were measured with it have a column each. Needs nothing but Python.
"""

import html
import json
import sys
from pathlib import Path

WIDTH, LEFT, BAR, TOP, LINE = 900, 330, 340, 92, 26  # pixels: all, before the bars, of 100 %, above, a figure
MET, MISSED, PLAIN = "#059669", "#d97706", "#2563eb"
INK, FAINT = "#1f2328", "#d8dee4"


def text(x, y, content, size=12, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}" font-weight="{weight}">'
            f"{html.escape(content)}</text>")


def asked_share(figure):
    """What is asked as a share of the limit."""
    if figure["asked_share"] is not None:
        return figure["asked_share"]
    if figure["asked"] is None or not figure["limit"]:
        return None
    return figure["limit"] / figure["asked"] if figure["is_time"] else figure["asked"] / figure["limit"]


def draw(figure, y):
    share, asked = min(figure["share"], 1.2), asked_share(figure)
    colour = {True: MET, False: MISSED, None: PLAIN}[figure["is_met"]]
    parts = [text(LEFT - 10, y + 14, figure["name"], anchor="end"),
             f'<rect x="{LEFT}" y="{y + 3}" width="{BAR}" height="15" fill="{FAINT}" fill-opacity="0.5"/>',
             f'<rect x="{LEFT}" y="{y + 3}" width="{share * BAR:.1f}" height="15" fill="{colour}"/>']
    if asked:
        x = LEFT + asked * BAR
        parts.append(f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + 21}" stroke="{INK}" stroke-width="2"/>')
    label = f"{figure['share']:.0%}: {figure['reached']:,.4g} of {figure['limit']:,.4g} {figure['unit']}"
    parts.append(text(LEFT + max(1, share) * BAR + 10, y + 14, label, 11))
    return "\n".join(parts)


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}" if value >= 100 else f"{value:.3g}"


def peers_of(result):
    """(name, {figure: what it reached})."""
    peers = []
    if peer := result.get("peer"):
        found = {f"{entry['model']} decode": entry["decode"] for entry in peer["models"]}
        peers.append((peer["name"], found))
    if compiled := result.get("compiled"):
        found = {}  # the better of its modes
        for entry in compiled["models"]:
            name = f"{entry['model']} decode"
            found[name] = max(entry["tokens_per_second"], found.get(name, 0))
        peers.append((compiled["peer"].split(",")[0], found))
    return peers


def markdown(result):
    peers = peers_of(result)
    lines = ["| figure | limit | reached | share | asked |" + "".join(f" {name} |" for name, _ in peers),
             "|---|---:|---:|---:|---:|" + "---:|" * len(peers)]
    for figure in result["figures"]:
        unit = "" if figure["unit"] == "×" else " " + figure["unit"]
        limit = number(figure["limit"]) + unit if figure["limit"] else ""
        share = f"{figure['share']:.0%}" if figure["share"] is not None else ""
        asked = number(figure["asked"]) if figure["asked"] is not None else ""
        if figure["asked_share"] is not None:
            asked = f"{figure['asked_share']:.0%}"
        asked += {True: ", met", False: ", **not met**", None: ""}[figure["is_met"]]
        theirs = "".join(f" {number(found[figure['name']]) if figure['name'] in found else ''} |" for _, found in peers)
        lines.append(f"| {figure['name']} | {limit} | {number(figure['reached'])}{unit} | {share} | {asked} |{theirs}")
    return "\n".join(lines)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    result = json.loads(Path(sys.argv[1]).read_text())
    figures = [figure for figure in result["figures"] if figure["share"] is not None]
    height = TOP + LINE * len(figures) + 16
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
                  f'font-family="system-ui, sans-serif">\n<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n')
        out.write(text(16, 28, "What was reached of what the device can do", 16, weight="bold") + "\n")
        stamp = ", ".join(str(result[key]) for key in ("machine", "date", "commit") if key in result)
        out.write(text(16, 47, stamp, 11) + "\n")
        x = 16
        for colour, label in ((MET, "as asked or better"), (MISSED, "less than asked"), (PLAIN, "nothing asked")):
            out.write(f'<rect x="{x}" y="60" width="14" height="10" fill="{colour}"/>\n' + text(x + 20, 69, label, 11) + "\n")
            x += 40 + 6 * len(label)
        out.write(f'<line x1="{x + 4}" y1="57" x2="{x + 4}" y2="73" stroke="{INK}" stroke-width="2"/>\n'
                  + text(x + 14, 69, "asked", 11) + "\n")
        for i, figure in enumerate(figures):
            out.write(draw(figure, TOP + i * LINE) + "\n")
        out.write("</svg>\n")
    print(markdown(result))


if __name__ == "__main__":
    main()
