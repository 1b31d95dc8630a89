#!/usr/bin/env python3
"""Opens the page of `ingot explain --html` in headless Chromium and checks what it shows.

    tools/check_explain_html.py --ingot build/release/bin/ingot --model models/storyteller

The page must load without a console message or a request to a network, and must draw one bar, one point and one
table row for each launch it should, in each step, with layers folded or not. Two broken copies of the page prove
that the check sees errors and requests. Exits with 77, and says why, where there is no Chromium.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

SKIPPED = 77
PROBE = "http://127.0.0.1:9/probe.png"  # nobody answers there


class Classes(HTMLParser):
    """Counts elements by class, table rows by table, and what is marked."""

    def __init__(self):
        super().__init__()
        self.count, self.marked, self.rows, self.texts = Counter(), Counter(), Counter(), {}
        self.table = self.title = None

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        classes = (attributes.get("class") or "").split()
        self.count.update(classes)
        if "on" in classes:
            self.marked.update(classes or [tag])
            self.marked.update([tag])
        if tag == "table":
            self.table = attributes.get("id")
        if tag == "tr":
            self.rows[self.table] += 1
        self.title = tag == "h1"

    def handle_data(self, text):
        if self.title and text.strip():
            self.texts["title"] = text.strip()


def open_page(chromium: str, page: Path, fragment: str = ""):
    """(what the page became, console messages, requests as (annotation, URL))"""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "net.json"
        run = subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             # The browser would ask its makers for updates and the time.
             "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
             "--no-first-run", f"--user-data-dir={folder}/profile", "--enable-logging=stderr",
             f"--log-net-log={log}", "--virtual-time-budget=5000", "--dump-dom", page.as_uri() + fragment],
            capture_output=True, text=True, timeout=120, check=False)
        if run.returncode != 0 or "</html>" not in run.stdout:
            sys.exit(f"check_explain_html: {chromium} failed with {run.returncode}:\n{run.stderr[-2000:]}")
        found = Classes()
        found.feed(run.stdout)
        console = re.findall(r":CONSOLE(?:[:(]\d+\)?)*\] (.*)", run.stderr)
        requests = re.findall(r'"traffic_annotation":(\d+),"url":"([^"]+)"',
                              log.read_text(encoding="utf-8", errors="replace"))
        return found, console, requests


class Browser:
    """Chromium, and how its log marks what a page asks for: as it marks the image of a page made for that."""

    def __init__(self, chromium: str, folder: Path):
        self.chromium = chromium
        page = folder / "probe.html"
        page.write_text(f'<!doctype html><html><body><img src="{PROBE}"></body></html>', encoding="utf-8")
        marks = [mark for mark, url in open_page(chromium, page)[2] if url == PROBE]
        if not marks:
            sys.exit("check_explain_html: the request of a page made for that was not seen")
        self.mark = marks[0]

    def open(self, page: Path, fragment: str = ""):
        """(what the page became, console messages, URLs it asked a network for)"""
        found, console, requests = open_page(self.chromium, page, fragment)
        return found, console, sorted({url for mark, url in requests
                                       if mark == self.mark and not url.startswith(("file:", "data:"))})


def expected(step: dict, every_layer: bool = False):
    rows = step["rows"]
    shown = len(rows) if every_layer else len({row["representative"] for row in rows})
    return {"bar": len(rows), "node": shown,
            "point": sum(1 for row in rows if row["measured_us"] and row["bytes"] > 0 and not row["transfer"])}


def check(browser: Browser, page: Path) -> list:
    text = page.read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1))
    wrong = []
    for url in set(re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:)[a-z]+:[^"')\s]*""", text)):
        wrong.append(f"the page refers to {url}")

    def expect(what, found, wanted):
        if found != wanted:
            wrong.append(f"{what}: expected {wanted}, found {found}")

    for step in data["steps"]:
        for fragment, selected in ((step["step"], None), (f"{step['step']}/2", step["rows"][2])):
            found, console, requests = browser.open(page, f"#{fragment}")
            where = f"{step['step']} step at #{fragment}"
            expect(f"{where}: console", console, [])
            expect(f"{where}: requests to a network", requests, [])
            for name, count in expected(step).items():
                expect(f"{where}: elements of class {name}", found.count[name], count)
            expect(f"{where}: rows of the table", found.rows["table"], 1 + expected(step)["node"])
            expect(f"{where}: rows of the totals", found.rows["totals"], 1 + len(step["totals"]))
            if step["step"].lower() not in found.texts.get("title", "").lower():
                wrong.append(f"{where}: the title is {found.texts.get('title')!r}")
            # A selected row is marked in every view: in the folded graph it stands for all its like.
            like = 0
            if selected:
                like = sum(1 for row in step["rows"] if row["representative"] == selected["representative"])
            expect(f"{where}: marked bars", found.marked["bar"], like)
            expect(f"{where}: marked nodes", found.marked["node"], 1 if selected else 0)
            expect(f"{where}: marked rows", found.marked["tr"], 1 if selected else 0)
    # "every layer", as a click would set it.
    opened = page.with_name("all.html")
    opened.write_text(text.replace("</body>", "<script>document.getElementById('all').click();</script></body>"),
                      encoding="utf-8")
    found, console, _ = browser.open(opened)
    expect("every layer: console", console, [])
    for name, count in expected(data["steps"][0], every_layer=True).items():
        expect(f"every layer: elements of class {name}", found.count[name], count)
    return wrong


def check_that_errors_are_seen(browser: Browser, page: Path) -> list:
    text = page.read_text(encoding="utf-8")
    wrong = []
    broken = page.with_name("broken.html")
    broken.write_text(text.replace("</body>", "<script>nothing.of.that.name();</script></body>"), encoding="utf-8")
    if not browser.open(broken)[1]:
        wrong.append("an error in a copy of the page was not seen")
    # The page's own policy refuses to load anything; that shows on the console.
    greedy = text.replace("</body>", f'<img src="{PROBE}"></body>')
    broken.write_text(greedy, encoding="utf-8")
    _, console, requests = browser.open(broken)
    if requests or not console:
        wrong.append("the page's policy let an image through")
    broken.write_text(re.sub(r"<meta http-equiv=.*?>", "", greedy, flags=re.S), encoding="utf-8")
    if browser.open(broken)[2] != [PROBE]:
        wrong.append("a request in a copy of the page was not seen")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ingot", required=True, help="the program")
    parser.add_argument("--model", required=True, help="the checkpoint to explain")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        # The second line is the reason, as the launcher prints it.
        print("check_explain_html: Skipped\nno chromium on this machine (Debian: apt-get install chromium)")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "step.html"
        subprocess.run([arguments.ingot, "explain", "-m", arguments.model, "-p", "16", "-r", "3", "--html", page],
                       check=True, timeout=300)
        browser = Browser(chromium, Path(folder))
        wrong = check(browser, page) + check_that_errors_are_seen(browser, page)
    for line in wrong:
        print(f"check_explain_html: {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
