"""How the cost of iALS and BPR grows with interactions and with factors, beside implicit.

    cargo bench --profile dev -p quintet-cf --bench factors --no-run
    pip install implicit==0.7.3 matplotlib
    python benches/peers/growth.py FACTORS OUT.svg [--sizes 1,5,20] [--dims 32,64,128]

Runs `factors.py --generate` for each size (millions of interactions of 140,000 users and 27,000
items, a tenth held out) and every number of factors, one turn each, two threads, three epochs of
iALS and of BPR; prints a table and draws it on logarithmic scales.
"""
import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LINE = re.compile(r"^(als|bpr)\s+d=(\d+)\s.*?ours ([\d.]+) s.*?peer ([\d.]+) s")


def measure(factors, millions, dims):
    command = [sys.executable, os.path.join(HERE, "factors.py"), factors, "--generate",
               str(int(millions * 1e6)), "--only", "als,bpr", "--dims", dims, "--repeats", "1",
               "--als-epochs", "3", "--bpr-epochs", "3"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(text, file=sys.stderr, flush=True)
    for line in text.splitlines():
        if found := LINE.match(line):
            yield found[1], int(found[2]), float(found[3]), float(found[4])


def draw(rows, path):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axis, model, title in zip(axes, ["als", "bpr"], ["iALS, an iteration", "BPR, an epoch"]):
        dims = sorted({r[2] for r in rows})
        for colour, dim in enumerate(dims):
            of = sorted((r[0], r[3], r[4]) for r in rows if r[1] == model and r[2] == dim)
            x = [r[0] for r in of]
            axis.plot(x, [r[1] for r in of], "o-", color=f"C{colour}", label=f"quintet, {dim}")
            axis.plot(x, [r[2] for r in of], "s--", color=f"C{colour}", label=f"implicit, {dim}")
        axis.set(xscale="log", yscale="log", title=title, xlabel="million interactions")
        axis.grid(True, which="both", alpha=0.3)
    axes[0].set_ylabel("seconds, 2 threads")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("factors")
    parser.add_argument("out")
    parser.add_argument("--sizes", default="1,5,20")
    parser.add_argument("--dims", default="32,64,128")
    args = parser.parse_args()
    rows = []
    for millions in map(float, args.sizes.split(",")):
        for model, dim, ours, theirs in measure(args.factors, millions, args.dims):
            rows.append((millions, model, dim, ours, theirs))
    print("| million | model | factors | quintet, s | implicit, s | ratio |\n|---|---|---|---|---|---|")
    for millions, model, dim, ours, theirs in rows:
        print(f"| {millions:g} | {model} | {dim} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.2f} |")
    draw(rows, args.out)


main()
