"""Ranking evaluation beside RecBole and ranx: score + mask + top-k + metrics, and given lists.

    pip install recbole==1.2.1 ranx==0.3.21 torch==2.15.0 scipy==1.17.1
    cargo bench --profile dev -p quintet-metrics --bench evaluation --no-run
    python benches/peers/evaluation.py QUINTET_EVALUATION WORK [--inter FILE] [--repeats 5]

QUINTET_EVALUATION is the bench executable (target/debug/deps/evaluation-*), WORK a folder for
generated data. FILE is a table of userID, itemID and x_label (0 train, 1 validation, 2 test) with
tabs, such as that of Amazon Baby. Two threads everywhere, or THREADS. Tools take turns, each run a process of
its own that makes its data ready, warms up, and then times calls. Two ratios are
printed, each the median of the turns: of time, which needs a machine that does nothing else, and of
the time that all threads spent on a processor. What is timed is the call alone on both sides:

- Against RecBole, `Evaluator::evaluate` against scoring (a product of matrices in PyTorch), masking,
  RecBole's Collector and RecBole's Evaluator on the same factors. RecBole's own data loader is not
  timed, its positions are made ready, and it gets batches of the size that is fastest here, while its
  default (4,096 scores a batch) is shown apart. Quintet gives the values of every user as well.
- Against ranx, `Evaluator::evaluate_lists` against `ranx.evaluate` on ready-made Qrels and Run.

Peak memory is that of the whole process, imports and data included. Means must agree to 1e-6
(RecBole adds 32-bit numbers); items of equal score may be in another order there.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

THREADS = os.environ.get("THREADS", "2")
# Threads that wait must not look busy where processor time is counted.
ENV = dict(os.environ, RAYON_NUM_THREADS=THREADS, OMP_NUM_THREADS=THREADS, MKL_NUM_THREADS=THREADS,
           OPENBLAS_NUM_THREADS=THREADS, NUMBA_NUM_THREADS=THREADS, OMP_WAIT_POLICY="PASSIVE",
           KMP_BLOCKTIME="0")
CUTOFFS = [5, 10, 20]
DIM = 64
# Quintet's name, RecBole's.
RECBOLE = {"recall": "Recall", "precision": "Precision", "hit_rate": "Hit", "ndcg": "NDCG",
           "map_min": "MAP", "mrr": "MRR"}
FULL = {**RECBOLE, "gauc": "GAUC"}
# Quintet's name, ranx's.
RANX = {"recall": "recall", "precision": "precision", "hit_rate": "hit_rate", "f1": "f1",
        "ndcg": "ndcg", "map": "map", "mrr": "mrr"}


def save(folder, n_items, seen, truth, factors):
    """`seen` and `truth` are pairs by row, `factors` those of users and items."""
    users, items = factors
    folder.mkdir(parents=True, exist_ok=True)
    users.astype("<f4").tofile(folder / "users.f32")
    items.astype("<f4").tofile(folder / "items.f32")
    seen.astype("<u4").tofile(folder / "seen.u32")
    truth.astype("<u4").tofile(folder / "truth.u32")
    lists = np.empty((len(users), max(CUTOFFS)), dtype="<u4")
    order = np.argsort(seen[:, 0], kind="stable")
    mine = np.split(seen[order, 1], np.searchsorted(seen[order, 0], np.arange(1, len(users))))
    for first in range(0, len(users), 256):
        scores = users[first:first + 256] @ items.T
        for row, known in enumerate(mine[first:first + 256]):
            scores[row, known] = -np.inf
        best = np.argpartition(-scores, max(CUTOFFS), axis=1)[:, :max(CUTOFFS)]
        inner = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        lists[first:first + 256] = np.take_along_axis(best, inner, axis=1)
    lists.tofile(folder / "lists.u32")
    (folder / "shape").write_text(f"{len(users)} {n_items} {DIM} {max(CUTOFFS)}\n")


def generate(folder, n_users, n_items, per_user, held):
    """Popular items are drawn more often; factors lean towards what was drawn."""
    rng = np.random.default_rng(1)
    popular = rng.permutation(n_items)
    users, items = rng.normal(size=(n_users, DIM)), rng.normal(size=(n_items, DIM))
    seen, truth = [], []
    for user in range(n_users):
        drawn = popular[(rng.random(2 * (per_user + held)) ** 2 * n_items).astype(int)]
        _, first = np.unique(drawn, return_index=True)
        drawn = drawn[np.sort(first)][:per_user + held]
        users[user] += 0.3 * items[drawn].sum(axis=0) / np.sqrt(len(drawn))
        truth += [(user, item) for item in drawn[:held]]
        seen += [(user, item) for item in drawn[held:]]
    save(folder, n_items, np.array(seen), np.array(truth),
         (users.astype("f4"), items.astype("f4")))


def from_table(folder, path):
    """Validation and training items are seen; the factors are a truncated SVD of the latter."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import svds
    table = np.loadtxt(path, skiprows=1, dtype=np.int64)
    n_users, n_items = table[:, 0].max() + 1, table[:, 1].max() + 1
    train = table[table[:, 2] == 0]
    ones = np.ones(len(train), dtype="f4")
    matrix = coo_matrix((ones, (train[:, 0], train[:, 1])), shape=(n_users, n_items)).tocsr()
    u, s, v = svds(matrix, k=DIM, random_state=1)
    save(folder, n_items, table[table[:, 2] < 2, :2], table[table[:, 2] == 2, :2],
         ((u * s).astype("f4"), np.ascontiguousarray(v.T).astype("f4")))


def load(folder):
    n_users, n_items, dim, width = map(int, (folder / "shape").read_text().split())
    users = np.fromfile(folder / "users.f32", "<f4").reshape(n_users, dim)
    items = np.fromfile(folder / "items.f32", "<f4").reshape(n_items, dim)
    seen = np.fromfile(folder / "seen.u32", "<u4").reshape(-1, 2).astype(np.int64)
    truth = np.fromfile(folder / "truth.u32", "<u4").reshape(-1, 2).astype(np.int64)
    lists = np.fromfile(folder / "lists.u32", "<u4").reshape(n_users, width)
    return users, items, seen, truth, lists


def use_recbole(folder, names, batch, repeats):
    # RecBole 1.2.1 uses names that NumPy has dropped.
    np.float, np.int = float, int
    import torch
    from recbole.evaluator import Collector, Evaluator
    torch.set_num_threads(int(THREADS))
    users, items, seen, truth, _ = load(folder)
    n_items = len(items)
    config = {"metrics": names, "topk": CUTOFFS, "metric_decimal_place": 17, "device": "cpu",
              "eval_args": {"mode": {"valid": "full", "test": "full"}}}
    # Position 0 is padding. Users in the order of Quintet: those with something held out.
    with_truth = np.unique(truth[:, 0])
    place = np.full(len(users), -1)
    place[with_truth] = np.arange(len(with_truth))
    items = torch.from_numpy(np.vstack([np.zeros((1, items.shape[1]), "f4"), items]))
    users = torch.from_numpy(users[with_truth])

    def batches(pairs):
        pairs = pairs[place[pairs[:, 0]] >= 0]
        rows = place[pairs[:, 0]]
        order = np.argsort(rows, kind="stable")
        rows, columns = rows[order], pairs[order, 1] + 1
        cuts = np.searchsorted(rows, np.arange(batch, len(with_truth), batch))
        parts = zip(np.split(rows % batch, cuts), np.split(columns, cuts))
        return [tuple(torch.from_numpy(x) for x in part) for part in parts]

    masked, positive = batches(seen), batches(truth)

    def call(n=None):
        collector = Collector(config)
        for at, (history, wanted) in enumerate(zip(masked[:n], positive)):
            scores = users[at * batch:(at + 1) * batch] @ items.T
            scores = scores.view(-1, n_items + 1)
            scores[:, 0] = -np.inf
            scores[history] = -np.inf
            collector.eval_batch_collect(scores, None, *wanted)
        return Evaluator(config).evaluate(collector.get_data_struct())

    call(1)
    return timed(call, repeats)


def use_ranx(folder, repeats):
    from ranx import Qrels, Run, evaluate
    _, _, _, truth, lists = load(folder)
    names = [f"{theirs}@{k}" for theirs in RANX.values() for k in CUTOFFS]
    relevant = {}
    for user, item in truth:
        relevant.setdefault(f"u{user:06}", {})[f"i{item}"] = 1
    depth = lists.shape[1]
    run = {user: {f"i{item}": float(depth - rank) for rank, item in enumerate(lists[int(user[1:])])}
           for user in relevant}
    qrels, run = Qrels(relevant), Run(run)
    call = lambda: evaluate(qrels, run, names, save_results_in_run=False)
    call()
    return timed(call, repeats)


def timed(call, repeats):
    seconds, cpu = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        means = call()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return {"seconds": seconds, "cpu": cpu, "means": {k: float(v) for k, v in means.items()},
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


def one(command):
    out = subprocess.run(command, env=ENV, capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{command}: {out.stderr[-2000:]}")
    result = json.loads(out.stdout.strip().splitlines()[-1])
    for key in ("seconds", "cpu"):
        result[key] = statistics.median(result[key][-3:])
    return result


def compare(title, commands, rename, turns):
    """Tools take turns; the first is the peer, the last Quintet."""
    runs = {name: [] for name in commands}
    for _ in range(turns):
        for name, command in commands.items():
            runs[name].append(one(command))
    ours = runs["quintet"]
    for name, results in runs.items():
        off = 0.0
        for key, value in results[0]["means"].items():
            metric, at, k = key.partition("@")
            ours_key = rename.get(metric, metric) + at + k
            off = max(off, abs(ours[0]["means"][ours_key] - value))
        assert off < 1e-4, (name, off)
        mid = lambda key: statistics.median(r[key] for r in results)
        ratio = lambda key: statistics.median(r[key] / q[key] for r, q in zip(results, ours))
        print(f"{title:32} {name:28} {1000 * mid('seconds'):10.1f} ms {ratio('seconds'):8.1f} x   "
              f"on processors {1000 * mid('cpu'):9.1f} ms {ratio('cpu'):8.1f} x "
              f"{mid('peak_mb'):8.0f} MB   off {off:.0e}", flush=True)


def main():
    if sys.argv[1] == "--peer":
        peer, folder, names, batch, repeats = sys.argv[2:]
        folder, repeats = Path(folder), int(repeats)
        result = (use_ranx(folder, repeats) if peer == "ranx" else
                  use_recbole(folder, names.split(","), int(batch), repeats))
        print(json.dumps(result))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("quintet")
    parser.add_argument("work", type=Path)
    parser.add_argument("--inter", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    worlds = {"ml-100k-like": (943, 1_682, 90, 15), "30k users, 27k items": (30_000, 27_000, 50, 10)}
    if args.inter:
        folder = args.work / "table"
        if not (folder / "shape").exists():
            from_table(folder, args.inter)
    for name, size in worlds.items():
        folder = args.work / name.replace(" ", "-")
        if not (folder / "shape").exists():
            generate(folder, *size)
    folders = {name: args.work / name.replace(" ", "-") for name in worlds}
    if args.inter:
        folders[args.inter.stem] = args.work / "table"
    for name, folder in folders.items():
        if args.only not in name:
            continue
        me = [sys.executable, __file__, "--peer"]
        ours = lambda what, names: [args.quintet, what, str(folder), ",".join(names), "4"]
        n_items = int((folder / "shape").read_text().split()[1])
        default = max(4096 // (n_items + 1), 1)
        for what, names in {"": RECBOLE, " + GAUC": FULL}.items():
            peer = lambda batch: [*me, "recbole", str(folder), ",".join(names.values()), str(batch), "1"]
            commands = {"RecBole, 256 users a batch": peer(256)}
            if not what and name.startswith("ml"):
                commands[f"RecBole, default batch ({default})"] = peer(default)
            commands["quintet"] = ours("scores", names)
            compare(name + what, commands, {v.lower(): k for k, v in names.items()}, args.turns)
        commands = {"ranx": [*me, "ranx", str(folder), "", "0", "3"], "quintet": ours("lists", RANX)}
        compare(name + ", given lists", commands, {v: k for k, v in RANX.items()}, args.turns)


if __name__ == "__main__":
    main()
