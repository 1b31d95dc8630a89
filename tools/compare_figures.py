#!/usr/bin/env python3
"""Two results of tools/bench_gpu.py side by side, as a Markdown table.

    tools/compare_figures.py FIRST.json SECOND.json

What the first takes longer than the second for the same work: with the second from a build with INGOT_CUDA_FREE_ORDER, what
a fixed order of sums costs. Less than nothing where the first is faster. Figures that only one has are left out.
"""

import json
import sys
from pathlib import Path


def times(figure):
    """Of times and of rates alike: a number that is proportional to the time."""
    return figure["reached"] if figure["is_time"] else 1 / figure["reached"]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    first, second = ({figure["name"]: figure for figure in json.loads(Path(path).read_text())["figures"]}
                     for path in sys.argv[1:])
    print("| figure | first | second | more time |\n|---|---:|---:|---:|")
    for name, figure in first.items():
        if name in second:
            more = times(figure) / times(second[name]) - 1
            print(f"| {name} | {figure['reached']:,.4g} {figure['unit']} | {second[name]['reached']:,.4g} | {more:+.1%} |")


if __name__ == "__main__":
    main()
