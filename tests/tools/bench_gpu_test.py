#!/usr/bin/env python3
"""tools/bench_gpu.py, decode_account.py, plot_figures.py and compare_figures.py over a program that makes its figures up."""

import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"
# 1000 GB/s; a step reads 1 GB of weights and, at 64 rows, 0.5 GB of keys and values, at half the bandwidth.
INGOT = '''#!/usr/bin/env python3
import json, os, sys
option = dict(zip(sys.argv, sys.argv[1:]))
verb = sys.argv[1]
tuned = os.environ["XDG_CACHE_HOME"] + "/tuned"  # the model that gains by it
if verb == "bench":
    batch, generate, prompt = int(option["-b"]), int(option["-n"]), int(option["-p"])
    kv = batch * 0.5e9 / 64
    step = 2 * (1e9 + kv) / 1e12
    if os.path.exists(tuned) and open(tuned).read() == option["-m"]:
        step /= 1.25
    part = {"limit": 1000.0, "share_of_limit": 0.5, "unit": "GB/s"}
    decode = {**part, "tokens": batch * generate, "seconds": step * generate, "tokens_per_second": batch / step, "achieved": 500.0,
              "sequences": batch, "step_seconds": step, "step_weight_bytes": 1e9, "step_kv_bytes": kv}
    prefill = {"tokens": prompt, "seconds": 1.0, "tokens_per_second": prompt, "achieved": 650e3, "limit": 800e3, "unit": "GFLOP/s",
               "share_of_limit": 0.8125}
    print(json.dumps({"version": "1", "model": option["-m"], "device": "made up", "prefill": prefill, "decode": decode}))
elif verb == "tune":
    gains = option["-m"].endswith("llama-1b")
    if gains:
        open(tuned, "x").write(option["-m"])
    shape = {"shape": "s", "form": "deep" if gains else "wide", "rule": "wide", "step_us": 800 if gains else 1000, "rule_us": 1000}
    print(json.dumps({"version": "1", "shapes": [shape], "file": tuned, "seconds": 2}))
elif verb == "explain":
    row = lambda op, label, size, us: {"op": op, "label": label, "bytes": size, "measured_us": us, "layer": label.find("layers") - 6}
    rows = [row("embedding", "embed_tokens", 1e4, 1.0)]
    for layer in "01":
        rows += [row("linear_add", f"model.layers.{layer}.self_attn.o_proj", 1e8, 200.0), row("attention", "", 4e8, 500.0),
                 row("linear_add", f"model.layers.{layer}.mlp.down_proj", 3e8, 600.0)]
    rows += [row("sample", "", 1e3, 2.0)]
    step = {"context": int(option["--context"]), "launches": len(rows), "rows": rows}
    print(json.dumps({"devices": [{"read_gbps": 1000.0}], "steps": [step]}))
elif verb == "run":
    print("first token 1.50 s", file=sys.stderr)
    print(json.dumps({"pools": [{"weight_bytes": 16e9, "weight_seconds": 0.4}]}), file=sys.stderr)
elif verb == "quantize":
    open(sys.argv[3], "w").close()
else:
    sys.exit(1)
'''


LLAMA_BENCH = '''#!/usr/bin/env python3
import json, sys
option = dict(zip(sys.argv, sys.argv[1:]))
rate = 200 if option["-m"].endswith("-f16.gguf") else 100
print(json.dumps([{"n_prompt": 4096, "n_gen": 0, "avg_ts": 9 * rate}, {"n_prompt": 128, "n_gen": 256, "avg_ts": rate}]))
'''


def check(condition, what):
    if not condition:
        sys.exit(f"bench_gpu: {what}")


def run(folder, *arguments):
    return subprocess.run([sys.executable, str(TOOLS / "bench_gpu.py"), "--ingot", str(folder / "ingot"), "--device", "cpu",
                           "--models", str(folder), "--out", str(folder / "result.json"), *arguments],
                          capture_output=True, text=True, check=False)


def check_figures(folder):
    done = run(folder, "--figures", "decode,streams,rows,prefill,context,start,account")
    check(done.returncode == 1 and "a figure is not met" in done.stderr, f"expected unmet figures, found {done.stderr}")
    result = json.loads((folder / "result.json").read_text())
    figures = {figure["name"]: figure for figure in result["figures"]}

    def expect(name, is_met, **values):
        check(name in figures, f"no figure '{name}' in {list(figures)}")
        found = figures[name]
        check(found["is_met"] is is_met, f"{name}: {found}")
        for key, value in values.items():
            check(abs(found[key] - value) < 1e-6 * abs(value), f"{name}: {key} {found[key]}, not {value}")

    one = 0.5e12 / (1e9 + 0.5e9 / 64)  # tokens a second
    expect("llama-8b bf16 decode", True, reached=one, limit=2 * one, asked=240)
    expect("llama-1b bf16 decode", False, reached=1.25 * one, asked=1100)
    check(figures["llama-1b bf16 decode"]["note"] == f"untuned: {one:.4g} tok/s", figures["llama-1b bf16 decode"])
    check(figures["llama-8b bf16 decode"]["note"] == "", "a note of tuning that changed nothing")
    tunings = [(tuning["model"], tuning["batch"], tuning["context"]) for tuning in result["tunings"]]
    check(tunings == [("qwen3-0.6b bf16", 1, 256), ("llama-1b bf16", 1, 256), ("llama-8b bf16", 1, 256),
                      ("llama-8b bf16", 64, 1024)], f"tunings {tunings}")
    expect("llama-1b mxfp4 decode", True, asked_share=0.5)
    expect("llama-8b bf16 64 streams at 1024", False, reached=64 / 3e-3, share=0.5)
    expect("llama-8b bf16 step of 64 rows at 1024", None, reached=3.0, limit=1.5)
    expect("llama-8b bf16 step of 64 rows, times one row's", True, reached=2.5e-3 / (2e-3 + 1e-3 * 0.5 / 64))
    expect("llama-8b bf16 prefill 4096", True, reached=650, asked=600)
    expect("llama-8b bf16 attention at 32768", True, reached=800, limit=1000)
    expect("llama-8b bf16 first token", True, reached=1.5, asked=2)
    check([found["model"] for found in result["accounts"]] == ["llama-8b bf16", "llama-1b bf16", "qwen3-0.6b bf16"], "accounts")
    check("| linear_add (down_proj) | 2 | 600 MB | 1,200.0 µs | 46% | 50% | 600.0 µs |" in done.stdout, done.stdout)
    check("| embedding, sample | 2 | 11 kB |" in done.stdout, done.stdout)


def check_selection(folder):
    run(folder, "--figures", "decode", "--only", "llama-1b,llama-8b q4_k")
    names = [figure["name"] for figure in json.loads((folder / "result.json").read_text())["figures"]]
    check(names == [f"{name} decode" for name in ("llama-1b bf16", "llama-1b q8_0", "llama-1b q4_k", "llama-1b mxfp4",
                                                  "llama-8b q4_k")], names)
    for wrong in (("--figures", "decode,all"), ("--only", "llama-2b")):
        done = run(folder, *wrong)
        check(done.returncode == 2 and wrong[0] in done.stderr, f"{wrong}: {done.returncode}, {done.stderr}")


def check_pictures(folder):
    """The account is printed, and the plot has a bar for each figure."""
    run(folder, "--figures", "decode,account,peer", "--only", "llama-1b bf16", "--llama-bench", str(folder / "llama-bench"),
        "--peer-name", "another")
    check(not list(folder.glob("*16.gguf")), "files of the peer's are still there")
    shown = subprocess.run([sys.executable, str(TOOLS / "decode_account.py"), str(folder / "result.json")],
                           capture_output=True, text=True, check=True).stdout
    check("**llama-1b bf16**" in shown and "| op | launches | bytes |" in shown, shown)
    picture = folder / "figures.svg"
    shown = subprocess.run([sys.executable, str(TOOLS / "plot_figures.py"), str(folder / "result.json"), str(picture)],
                           capture_output=True, text=True, check=True).stdout
    check("| figure | limit | reached | share | asked | another |" in shown, shown)
    check("| llama-1b bf16 decode | 1,240 tok/s | 620.2 tok/s | 50% | 1,100, **not met** | 200 |" in shown, shown)
    texts = ["".join(text.itertext()) for text in ElementTree.parse(picture).getroot().iter("{http://www.w3.org/2000/svg}text")]
    check("llama-1b bf16 decode" in texts and any(text.startswith("50%: ") for text in texts), texts)


def check_comparison(folder):
    figure = lambda reached, is_time: {"reached": reached, "is_time": is_time, "unit": "s"}
    for path, rate, step in (("a.json", 100, 3), ("b.json", 125, 2)):
        figures = [{"name": "rate", **figure(rate, False)}, {"name": "step", **figure(step, True)}]
        (folder / path).write_text(json.dumps({"figures": figures}))
    shown = subprocess.run([sys.executable, str(TOOLS / "compare_figures.py"), str(folder / "a.json"), str(folder / "b.json")],
                           capture_output=True, text=True, check=True).stdout
    check("| rate | 100 s | 125 | +25.0% |\n| step | 3 s | 2 | +50.0% |" in shown, shown)


with tempfile.TemporaryDirectory() as name:
    made = Path(name)
    for program, source in (("ingot", INGOT), ("llama-bench", LLAMA_BENCH)):
        (made / program).write_text(source)
        (made / program).chmod(0o755)
    for model in ("llama-8b", "llama-1b", "qwen3-0.6b"):
        (made / model).mkdir()
        (made / model / "model.safetensors").touch()
    check_figures(made)
    check_selection(made)
    check_pictures(made)
    check_comparison(made)
