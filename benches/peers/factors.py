"""Factor models beside implicit and Cornac: time an epoch, peak memory, and quality.

    cargo bench --profile dev -p quintet-cf --bench factors --no-run
    pip install implicit==0.7.3 cornac==3.0.1 numpy scipy
    python benches/peers/factors.py FACTORS --inter FILE.inter       # userID, itemID, x_label
    python benches/peers/factors.py FACTORS --ratings u.data         # MovieLens 100k
    python benches/peers/factors.py FACTORS --generate 20000000 [--users 140000 --items 27000]

FACTORS is the bench executable (target/debug/deps/factors-*). Every run is a process of its own
with two threads; tools take turns; what is printed are medians over the epochs of all turns but
the first of each, the processor time an epoch of all threads (which other programs disturb less),
the ratios, peak memory of the whole process, and Recall@20 and NDCG@20 over all
items on what was held out (label 1 of a .inter file, else a tenth of the cells), with what was
trained on left out. `--only als,bpr,bpr-cornac,lmf,equal` picks rows, `--dims 64,128` the widths,
`--repeats 3` the turns. `equal` compares the ten best of every user after 15 iterations from the
same factors, for both solvers. `--keep FOLDER` keeps the cells and what was held out there, and
takes them from there the next time.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

THREADS = 2
ENV = dict(os.environ, OMP_NUM_THREADS=str(THREADS), OPENBLAS_NUM_THREADS="1",
           RAYON_NUM_THREADS=str(THREADS), MKL_NUM_THREADS="1")
ALPHA, L2 = 10.0, 0.05


# Data.

def write_cells(path, users, items, n_users, n_items):
    """Cells by user, then item, without repetitions."""
    keys = np.unique(users.astype(np.int64) * n_items + items)
    users, items = keys // n_items, (keys % n_items).astype(np.uint32)
    indptr = np.zeros(n_users + 1, np.uint64)
    indptr[1:] = np.cumsum(np.bincount(users, minlength=n_users))
    with open(path, "wb") as f:
        np.array([n_users, n_items, len(items)], np.uint64).tofile(f)
        indptr.tofile(f)
        items.tofile(f)
    return len(items)


def read_cells(path):
    with open(path, "rb") as f:
        n_users, n_items, nnz = (int(x) for x in np.fromfile(f, np.uint64, 3))
        indptr = np.fromfile(f, np.uint64, n_users + 1)
        return n_users, n_items, indptr.astype(np.int32), np.fromfile(f, np.int32, nnz)


def read_table(path, skip):
    table = np.loadtxt(path, dtype=np.int64, skiprows=skip)
    return table


def generate(n, n_users, n_items, seed=7):
    """People of 40 tastes: most of what they use comes from theirs, the rest from what all like;
    both by popularity that falls like a power of the rank."""
    rng = np.random.default_rng(seed)
    activity = rng.lognormal(0, 1, n_users)
    taste_of_user = rng.integers(0, 40, n_users)
    taste_of_item = rng.integers(0, 40, n_items)
    weight = 1 / (10 + rng.permutation(n_items)) ** 0.8
    by_taste = [np.flatnonzero(taste_of_item == t) for t in range(40)]
    users, items = [], []
    left = n
    while left > 0:
        u = rng.choice(n_users, int(left * 1.1) + 1000, p=activity / activity.sum())
        own = rng.random(len(u)) < 0.7
        i = rng.choice(n_items, len(u), p=weight / weight.sum())
        for t, pool in enumerate(by_taste):
            at = np.flatnonzero(own & (taste_of_user[u] == t))
            i[at] = rng.choice(pool, len(at), p=weight[pool] / weight[pool].sum())
        users.append(u), items.append(i)
        keys = np.unique(np.concatenate(users).astype(np.int64) * n_items + np.concatenate(items))
        left = n - len(keys)
        users, items = [keys // n_items], [keys % n_items]
    keep = np.sort(rng.choice(len(keys), n, replace=False))
    return keys[keep] // n_items, keys[keep] % n_items


def prepare(args, folder):
    path, rest = os.path.join(folder, "cells.bin"), os.path.join(folder, "held.npy")
    if os.path.exists(rest):
        n_users, n_items, _, columns = read_cells(path)
        return path, np.load(rest), (n_users, n_items, len(columns))
    if args.inter:
        t = read_table(args.inter, 1)
        n_users, n_items = int(t[:, 0].max()) + 1, int(t[:, 1].max()) + 1
        train, held = t[t[:, 2] == 0], t[t[:, 2] == 1]
    else:
        if args.ratings:
            t = read_table(args.ratings, 0)[:, :2] - 1
            n_users, n_items = int(t[:, 0].max()) + 1, int(t[:, 1].max()) + 1
        else:
            n_users, n_items = args.users, args.items
            t = np.stack(generate(args.generate, n_users, n_items), 1)
        out = np.random.default_rng(5).random(len(t)) < 0.1
        train, held = t[~out], t[out]
    np.save(rest, held)
    nnz = write_cells(path, train[:, 0], train[:, 1], n_users, n_items)
    return path, held, (n_users, n_items, nnz)


# Quality.

def quality(factors, cells, held, k=20, most=4000):
    """Mean Recall@k and NDCG@k over users with something held out (at most `most` of them)."""
    users, items, bias = factors
    _, _, indptr, columns = read_cells(cells)
    order = np.argsort(held[:, 0], kind="stable")
    held = held[order]
    who = np.unique(held[:, 0])
    if len(who) > most:
        who = np.sort(np.random.default_rng(1).choice(who, most, replace=False))
    start, end = np.searchsorted(held[:, 0], who), np.searchsorted(held[:, 0], who, "right")
    discount = 1 / np.log2(np.arange(2, k + 2))
    recalls, ndcgs = [], []
    for u, a, b in zip(who, start, end):
        s = items @ users[u] + bias
        s[columns[indptr[u]:indptr[u + 1]]] = -np.inf
        top = np.argpartition(-s, k)[:k]
        top = top[np.lexsort((top, -s[top]))]
        hits = np.isin(top, held[a:b, 1])
        recalls.append(hits.sum() / (b - a))
        ndcgs.append((hits * discount).sum() / discount[:min(k, b - a)].sum())
    return float(np.mean(recalls)), float(np.mean(ndcgs))


def top_lists(factors, cells, k=10):
    users, items, bias = factors
    n_users, _, indptr, columns = read_cells(cells)
    lists = []
    for u in range(n_users):
        s = items @ users[u] + bias
        s[columns[indptr[u]:indptr[u + 1]]] = -np.inf
        top = np.argpartition(-s, k)[:k]
        lists.append(top[np.lexsort((top, -s[top]))])
    return lists


# Peers, each in a process of its own.

def peer(args):
    """One fit; prints what the bench executable prints."""
    from scipy.sparse import csr_matrix
    job = json.loads(args.job)
    n_users, n_items, indptr, columns = read_cells(job["cells"])
    marks = []
    processor = []

    def mark(*_):
        marks.append(time.perf_counter())
        processor.append(time.process_time())
    dim, epochs = job["dim"], job["epochs"]
    if job["peer"] == "cornac-bpr":
        import cornac
        users = np.repeat(np.arange(n_users), np.diff(indptr))
        data = cornac.data.Dataset.from_uir(
            zip(users.tolist(), columns.tolist(), [1.0] * len(columns)), seed=1)
        model = cornac.models.BPR(k=dim, max_iter=epochs, learning_rate=job["lr"],
                                  lambda_reg=job["l2"], num_threads=THREADS, verbose=False)
        mark()
        model.fit(data)
        mark()
        # Cornac numbers users and items as they come.
        ours_u = np.fromiter(data.uid_map.keys(), int)
        ours_i = np.fromiter(data.iid_map.keys(), int)
        X, Y = np.zeros((n_users, dim), np.float32), np.zeros((n_items, dim), np.float32)
        b = np.full(n_items, model.i_biases.min(), np.float32)
        X[ours_u], Y[ours_i], b[ours_i] = model.u_factors, model.i_factors, model.i_biases
        seconds = [(marks[1] - marks[0]) / epochs] * 2
    else:
        R = csr_matrix((np.ones(len(columns), np.float32), columns, indptr), (n_users, n_items))
        if job["peer"] == "als":
            from implicit.cpu.als import AlternatingLeastSquares
            model = AlternatingLeastSquares(
                factors=dim, regularization=L2, alpha=ALPHA, iterations=epochs,
                use_cg=job["solver"] == "cg", num_threads=THREADS, random_state=job["seed"])
            if job.get("start"):
                numbers = np.fromfile(job["start"], np.float32).reshape(-1, dim)
                model.user_factors = numbers[:n_users].copy()
                model.item_factors = numbers[n_users:].copy()
        elif job["peer"] == "bpr":
            from implicit.cpu.bpr import BayesianPersonalizedRanking
            model = BayesianPersonalizedRanking(
                factors=dim, learning_rate=job["lr"], regularization=job["l2"], iterations=epochs,
                num_threads=THREADS, random_state=job["seed"])
        else:
            from implicit.cpu.lmf import LogisticMatrixFactorization
            model = LogisticMatrixFactorization(
                factors=dim, iterations=epochs, num_threads=THREADS, random_state=job["seed"])
        mark()
        model.fit(R, show_progress=False, callback=mark)
        seconds = np.diff(marks).tolist()
        X, Y = model.user_factors, model.item_factors
        b = np.zeros(n_items, np.float32)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with open(job["out"], "wb") as f:
        for M in [X, Y, b]:
            np.ascontiguousarray(M, np.float32).tofile(f)
    print(json.dumps(dict(seconds=seconds, processor=(processor[-1] - processor[0]) / epochs,
                          peak=peak, dim=X.shape[1])))


def start(command, out, shape):
    done = subprocess.run(command, env=ENV, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:3])} failed:\n{done.stderr}")
    report = json.loads(done.stdout.strip().splitlines()[-1])
    numbers, d = np.fromfile(out, np.float32), report["dim"]
    users, rest = numbers[:shape[0] * d], numbers[shape[0] * d:]
    items, bias = rest[:shape[1] * d], rest[shape[1] * d:]
    return report, (users.reshape(-1, d), items.reshape(-1, d), bias)


def ours(args, model, params, cells, epochs, seed, out, shape, first=None):
    command = [args.factors, model, json.dumps(params), cells, str(epochs), str(seed), out]
    return start(command + ([first] if first else []), out, shape)


def theirs(job, shape):
    command = [sys.executable, os.path.abspath(__file__), "-", "--job", json.dumps(job)]
    return start(command, job["out"], shape)


# Rows of the table.

def rows(args, dim):
    """Name, our model and parameters, the peer's job, epochs."""
    lr, l2 = args.lr, args.bpr_l2
    sgd = dict(dim=dim, lr=lr, l2=l2)
    return {
        "als": ("ials", dict(dim=dim, confidence="alpha", alpha=ALPHA, l2=L2, frequency_power=0,
                             init="uniform", init_scale=0.01), dict(peer="als", solver="cg"), args.als_epochs),
        "bpr": ("bpr_sgd", sgd, dict(peer="bpr", lr=lr, l2=l2), args.bpr_epochs),
        "bpr-cornac": ("bpr_sgd", sgd, dict(peer="cornac-bpr", lr=lr, l2=l2), args.bpr_epochs),
        "lmf": ("logistic_mf", dict(dim=dim), dict(peer="lmf"), args.lmf_epochs),
    }


def compare(args, name, dim, cells, held, shape, folder):
    model, params, job, epochs = rows(args, dim)[name]
    found = {"ours": [], "peer": []}
    for seed in range(1, args.repeats + 1):
        out = os.path.join(folder, "out.bin")
        runs = {"ours": lambda: ours(args, model, params, cells, epochs, seed, out, shape),
                "peer": lambda: theirs(dict(job, cells=cells, dim=dim, epochs=epochs, seed=seed,
                                            out=out), shape)}
        for who, run in runs.items():
            report, factors = run()
            found[who].append((report, quality(factors, cells, held)))
    line = [f"{name:10} d={dim:<4}"]
    medians, processor = {}, {}
    for who, runs in found.items():
        times = [s for report, _ in runs for s in (report["seconds"][1:] or report["seconds"])]
        medians[who] = statistics.median(times)
        processor[who] = statistics.median(report["processor"] for report, _ in runs)
        peak = max(report["peak"] for report, _ in runs) / 1e6
        recall, ndcg = (np.array([q[k] for _, q in runs]) for k in (0, 1))
        line.append(f"{who} {medians[who]:.4f} s (least {min(times):.4f}, processor "
                    f"{processor[who]:.4f}), {peak:.0f} MB, R@20 "
                    f"{recall.mean():.4f}±{recall.std():.4f} N@20 {ndcg.mean():.4f}±{ndcg.std():.4f}")
    line.append(f"ratio {medians['peer'] / medians['ours']:.2f}, of processor time "
                f"{processor['peer'] / max(processor['ours'], 1e-9):.2f}")
    print(" | ".join(line), flush=True)


def equal(args, dim, cells, shape, folder):
    first = os.path.join(folder, "start.bin")
    rng = np.random.default_rng(3)
    (rng.random((shape[0] + shape[1], dim)) * 0.01).astype(np.float32).tofile(first)
    for solver in ["cholesky", "cg"]:
        out = os.path.join(folder, "out.bin")
        params = dict(dim=dim, confidence="alpha", alpha=ALPHA, l2=L2, frequency_power=0,
                      solver=solver)
        _, a = ours(args, "ials", params, cells, 15, 1, out, shape, first)
        job = dict(peer="als", solver=solver, cells=cells, dim=dim, epochs=15, seed=1, out=out,
                   start=first)
        _, b = theirs(job, shape)
        pairs = list(zip(top_lists(a, cells), top_lists(b, cells)))
        lists = np.mean([np.array_equal(x, y) for x, y in pairs])
        sets = np.mean([set(x) == set(y) for x, y in pairs])
        print(f"equal {solver:9} d={dim}: the same ten in the same order for {100 * lists:.2f} % of "
              f"the users, in any order for {100 * sets:.2f} %", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("factors")
    parser.add_argument("--inter")
    parser.add_argument("--ratings")
    parser.add_argument("--generate", type=int)
    parser.add_argument("--users", type=int, default=140_000)
    parser.add_argument("--items", type=int, default=27_000)
    parser.add_argument("--keep")
    parser.add_argument("--only", default="als,bpr,bpr-cornac,lmf,equal")
    parser.add_argument("--dims", default="64,128")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--als-epochs", type=int, default=15)
    parser.add_argument("--bpr-epochs", type=int, default=50)
    parser.add_argument("--lmf-epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--bpr-l2", type=float, default=0.01)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        return peer(args)
    with tempfile.TemporaryDirectory() as folder:
        cells, held, shape = prepare(args, args.keep or folder)
        print(f"{shape[0]} users, {shape[1]} items, {shape[2]} cells, {THREADS} threads each",
              flush=True)
        for dim in map(int, args.dims.split(",")):
            for name in args.only.split(","):
                if name == "equal":
                    equal(args, dim, cells, shape, folder)
                else:
                    compare(args, name, dim, cells, held, shape, folder)


main()
