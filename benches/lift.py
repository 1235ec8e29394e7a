"""What trained sentence vectors add: plots read by MiniLM against plots read by TF-IDF.

    python benches/lift.py QUINTET WORK FOLDER WEIGHTS [seeds]

QUINTET is the program, WORK a folder for the runs, FOLDER holds MovieLens 100k with plots as
`examples/movielens.toml` describes it, WEIGHTS is the folder of all-MiniLM-L6-v2. Every pair of
split and text encoder is one run file, fitted with each seed; parameters are the defaults, early
stopping sees the validation part only. The difference of two encoders is taken user by user, averaged
over the seeds, and its interval is a bootstrap over users. Prints two tables in Markdown.
"""
import json
import pathlib
import random
import statistics
import subprocess
import sys

SPLITS = {
    "leave-one-out": 'strategy = "leave_one_out"',
    "temporal": 'strategy = "temporal"\nvalid = 0.1\ntest = 0.1',
}
ENCODERS = {
    "tfidf": 'encoder = "tfidf-svd"',
    "minilm": 'encoder = "bert"\nparams = { weights = "WEIGHTS" }',
}
MODELS = [("vbpr", "vbpr"), ("two_tower", "hybrid")]
METRIC = "ndcg@10"

RUN_FILE = """name = "lift"
[ingest]
name = "ml-100k"
movielens = {{ folder = "." }}
[[ingest.join]]
path = "omdb.jsonl"
id = "movieId"
text = ["plot"]
[split]
{split}
[[encode]]
modality = "text"
{encoder}
[train]
epochs = 60
patience = 6
metric = "{metric}"
{models}
[evaluate]
cutoffs = [10, 20]
metrics = ["ndcg", "recall", "hit_rate"]
primary = "{metric}"
"""


def run(quintet, work, folder, weights, split, encoder, seed):
    """One run; gives what it measured."""
    out = work / f"{split}-{encoder}-{seed}"
    if not (out / "metrics.json").exists():
        models = "\n".join(f'[[models]]\nmodel = "{model}"\nlabel = "{label}"'
                           for model, label in MODELS)
        file = work / f"{split}-{encoder}.toml"
        file.write_text(RUN_FILE.format(
            split=SPLITS[split], encoder=ENCODERS[encoder].replace("WEIGHTS", str(weights)),
            models=models, metric=METRIC))
        command = [quintet, "--threads", "2", "run", file, "--data-root", folder, "--out", out,
                   "--cache", work / "cache", "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return (json.loads((out / "metrics.json").read_text()),
            json.loads((out / "per_user.json").read_text()))


def interval(values, resamples=5000):
    """Mean and its 95 % percentile bootstrap."""
    draw = random.Random(1)
    n = len(values)
    means = sorted(sum(draw.choices(values, k=n)) / n for _ in range(resamples))
    low, high = means[int(0.025 * resamples)], means[int(0.975 * resamples)]
    return sum(values) / n, low, high


def spread(values):
    mean = statistics.mean(values)
    return f"{mean:.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}"


def table(split, runs, seeds):
    """One line a model: both encoders over the seeds, and the paired difference."""
    users = {tuple(runs["tfidf", seed][1]["users"]) for seed in seeds}
    assert len(users) == 1, "every seed must have the same test users"
    print(f"\n**{split}**, {len(users.pop())} test users, {len(seeds)} seeds, {METRIC}\n")
    print("| model | TF-IDF | MiniLM | MiniLM minus TF-IDF [95 %] | new items: TF-IDF | MiniLM |")
    print("|---|---|---|---|---|---|")
    for place, (_, label) in enumerate(MODELS):
        of = lambda encoder, get: [get(runs[encoder, seed][0]["models"][place]) for seed in seeds]
        value = lambda model: model["test"][METRIC]
        new = lambda model: (model["new_items"] or {}).get("value")
        rows = zip(*(
            [b - a for a, b in zip(runs["tfidf", seed][1]["values"][label],
                                   runs["minilm", seed][1]["values"][label])] for seed in seeds))
        mean, low, high = interval([statistics.mean(row) for row in rows])
        cold = [spread(v) if None not in v else "–" for v in (of("tfidf", new), of("minilm", new))]
        print(f"| {label} | {spread(of('tfidf', value))} | {spread(of('minilm', value))} | "
              f"{mean:+.4f} [{low:+.4f}, {high:+.4f}] | {cold[0]} | {cold[1]} |")


def main():
    quintet, work, folder, weights = (pathlib.Path(p).resolve() for p in sys.argv[1:5])
    seeds = range(1, 1 + int(sys.argv[5] if len(sys.argv) > 5 else 5))
    work.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        runs = {(encoder, seed): run(quintet, work, folder, weights, split, encoder, seed)
                for seed in seeds for encoder in ENCODERS}
        table(split, runs, seeds)


if __name__ == "__main__":
    main()
