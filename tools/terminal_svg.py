#!/usr/bin/env python3
"""Runs a command and draws what it prints as a terminal: standard output in white, standard error in grey.

Usage: terminal_svg.py OUT.svg [--columns N] -- COMMAND [ARGUMENT ...]
The picture shows the command as typed and its real output, wrapped at N columns (default 100).
"""

import argparse
import html
import shlex
import subprocess
import textwrap

LINE, CHAR, PAD = 19, 8.43, 16  # pixels


def wrapped(text: str, columns: int) -> list[str]:
    lines = []
    for line in text.rstrip("\n").split("\n"):
        lines += textwrap.wrap(line, columns, drop_whitespace=True) or [""]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    rows = [("prompt", "$ " + shlex.join(command))]
    rows += [("text", line) for line in wrapped(done.stdout, args.columns)]
    rows += [("note", line) for line in wrapped(done.stderr, args.columns)]
    width, height = round(args.columns * CHAR + 2 * PAD), (len(rows) + 1) * LINE + PAD
    with open(args.out, "w", encoding="utf-8") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                  f'viewBox="0 0 {width} {height}">\n<style>text{{font:14px ui-monospace,Menlo,Consolas,'
                  '"DejaVu Sans Mono",monospace;white-space:pre}.prompt{fill:#8be9a8}.text{fill:#f4f4f0}'
                  '.note{fill:#9aa0a6}</style>\n'
                  f'<rect width="{width}" height="{height}" rx="8" fill="#16181d"/>\n')
        for i, (kind, line) in enumerate(rows):
            out.write(f'<text class="{kind}" x="{PAD}" y="{PAD + LINE * (i + 0.8):.0f}">{html.escape(line)}</text>\n')
        out.write("</svg>\n")


if __name__ == "__main__":
    main()
