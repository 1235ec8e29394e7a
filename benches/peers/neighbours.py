"""Models of neighbours and linear ones beside implicit, NumPy, scipy, scikit-learn and Cornac.

    pip install implicit==0.7.3 scipy==1.17.1 scikit-learn==1.9.1 cornac==3.0.1
    cargo bench --profile dev --bench neighbours --no-run
    python neighbours.py NEIGHBOURS WORK DATA... [--repeats N] [--only TEXT]

NEIGHBOURS is the program that Cargo names, WORK a folder for what is generated. DATA are tables
with a line of names `userID itemID x_label` (part 0 is used), tables of MovieLens (four columns,
no names; their ratings count), or `generated`: 20 M interactions of 140,000 users with 27,000 items, the same on every
run. Both sides have THREADS threads and run in turns, each in a process of its own; times are of
the fit alone, on the clock and of the processor (which says more where other programs run),
memory is the peak of the whole process. Lists are the ten best unseen items of up to 2,000 users;
they count as equal when they hold the same items in the same order, or in another where the
peer's scores are equal to 1e-6 of the larger.
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

THREADS = 2
ENV = dict(os.environ, OMP_NUM_THREADS=str(THREADS), OPENBLAS_NUM_THREADS=str(THREADS),
           MKL_NUM_THREADS=str(THREADS), RAYON_NUM_THREADS=str(THREADS))
# Row: (our model, our parameters, peer).
IMPLICIT = {"cut": "source", "counts_itself": True, "k": 100}
ROWS = {
    "itemknn cosine": ("itemknn", {**IMPLICIT, "shrink": 0.0}, "implicit cosine"),
    "itemknn tfidf": ("itemknn", {**IMPLICIT, "weighting": "tfidf"}, "implicit tfidf"),
    "itemknn bm25": ("itemknn", {**IMPLICIT, "weighting": "bm25"}, "implicit bm25"),
    "rp3beta": ("rp3beta", {"k": 100, "alpha": 0.8, "beta": 0.4}, "scipy rp3beta"),
    "ease": ("ease", {"l2": 200.0}, "numpy ease"),
    "ease f64": ("ease", {"l2": 200.0, "precision": "f64"}, "numpy ease"),
    "ease and cornac": ("ease", {"l2": 200.0}, "cornac ease"),
    "ease_sparse": ("ease_sparse", {"l2": 200.0}, None),
    "slim": ("slim", {"l1": 2.0, "l2": 20.0}, "sklearn slim"),
}
# Rows that a data set of so many items is too large for.
LIMITS = {"ease": 12_000, "scipy": 12_000, "sklearn": 2_000, "slim": 12_000, "ease_sparse": 12_000}


def load(path):
    from scipy.sparse import csr_matrix
    folder = Path(path)
    shape = tuple(int(n) for n in (folder / "shape.txt").read_text().split())
    indptr = np.fromfile(folder / "indptr.bin", dtype=np.int64)
    indices = np.fromfile(folder / "indices.bin", dtype=np.int32)
    index = np.int32 if indptr[-1] < 2**31 else np.int64
    values = np.ones(len(indices))
    if (folder / "values.bin").exists():
        values = np.fromfile(folder / "values.bin", dtype=np.float32).astype(np.float64)
    return csr_matrix((values, indices, indptr.astype(index)), shape=shape)


def save(folder, users, items, values=None):
    """Pairs, each at most once; without values they are ones."""
    folder.mkdir(parents=True, exist_ok=True)
    n_users, n_items = int(users.max()) + 1, int(items.max()) + 1
    order = np.lexsort((items, users))
    users, items = users[order], items[order]
    indptr = np.zeros(n_users + 1, dtype=np.int64)
    np.cumsum(np.bincount(users, minlength=n_users), out=indptr[1:])
    indptr.tofile(folder / "indptr.bin")
    items.astype(np.uint32).tofile(folder / "indices.bin")
    if values is not None:
        values[order].astype(np.float32).tofile(folder / "values.bin")
    chosen = np.random.default_rng(1).permutation(n_users)[:2000]
    np.sort(chosen).astype(np.uint32).tofile(folder / "users.bin")
    (folder / "shape.txt").write_text(f"{n_users} {n_items}\n")


def generate(folder, n_users=140_000, n_items=27_000, nnz=20_000_000):
    """The k-th item is drawn as often as 1 / (k + 50), users have log-normally many."""
    rng = np.random.default_rng(7)
    activity = rng.lognormal(0.0, 1.0, n_users)
    draws = 20 + np.floor(activity / activity.mean() * 1.28 * (nnz / n_users)).astype(np.int64)
    chance = 1.0 / (np.arange(n_items) + 50.0)
    names = rng.permutation(n_items)
    users = np.repeat(np.arange(n_users, dtype=np.int64), np.minimum(draws, n_items // 3))
    cumulated = np.cumsum(chance / chance.sum())
    ranks = np.minimum(np.searchsorted(cumulated, rng.random(len(users))), n_items - 1)
    keys = np.unique(users * n_items + names[ranks])
    assert len(keys) >= nnz, len(keys)
    keys = keys[rng.permutation(len(keys))[:nnz]]
    save(folder, keys // n_items, keys % n_items)


def prepare(work, data):
    name = "generated" if data == "generated" else Path(data).stem
    name = "ml-100k" if name == "u" else name
    folder = Path(work) / name
    if not (folder / "shape.txt").exists():
        if data == "generated":
            generate(folder)
        else:
            with open(data) as file:
                head = file.readline()
            if head.startswith("userID"):
                table = np.loadtxt(data, dtype=np.int64, delimiter="\t", skiprows=1)
                table = table[table[:, 2] == 0]
                save(folder, table[:, 0], table[:, 1])
            else:
                table = np.loadtxt(data, dtype=np.int64, delimiter="\t")
                save(folder, table[:, 0] - 1, table[:, 1] - 1, table[:, 2])
    return folder


def now():
    """Seconds on the clock, and of the processor in all threads of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def peer_scores(name, x):
    """Fits the peer; gives its seconds and a function from users to scores."""
    kind, what = name.split()
    if kind == "implicit":
        from implicit import nearest_neighbours as near
        cls = {"cosine": near.CosineRecommender, "tfidf": near.TFIDFRecommender,
               "bm25": near.BM25Recommender}[what]
        model = cls(K=100, num_threads=THREADS)
        start = now()
        model.fit(x, show_progress=False)
        seconds = now() - start
        return seconds, lambda users: (x[users] @ model.similarity).toarray()
    if kind == "numpy":
        start = now()
        g = (x.T @ x).toarray()
        g[np.diag_indices_from(g)] += 200.0
        p = np.linalg.inv(g)
        b = -p / np.diag(p)
        np.fill_diagonal(b, 0.0)
        seconds = now() - start
        return seconds, lambda users: x[users] @ b
    if kind == "cornac":
        import cornac
        cells = x.tocoo()
        data = cornac.data.Dataset.build(
            list(zip(map(str, cells.row), map(str, cells.col), cells.data)))
        model = cornac.models.EASE(lamb=200.0, posB=False, verbose=False)
        start = now()
        model.fit(data)
        seconds = now() - start
        items = np.array([data.iid_map.get(str(i), -1) for i in range(x.shape[1])])

        def score(users):
            out = np.zeros((len(users), x.shape[1]))
            for row, user in enumerate(users):
                if str(user) in data.uid_map:
                    own = model.score(data.uid_map[str(user)])
                    out[row] = np.where(items >= 0, np.asarray(own).ravel()[items], 0.0)
            return out
        return seconds, score
    if kind == "scipy":
        from scipy.sparse import csr_matrix, diags
        start = now()
        degree_u, degree_i = np.asarray(x.sum(1)).ravel(), np.asarray(x.sum(0)).ravel()
        inverse = lambda d, e: np.where(d > 0, np.maximum(d, 1.0) ** -e, 0.0)
        to_item = diags(inverse(degree_u, 0.8)) @ x.power(0.8)
        to_user = diags(inverse(degree_i, 0.8)) @ x.T.tocsr().power(0.8)
        n_users = np.asarray((x > 0).sum(0)).ravel()
        w = (to_user @ to_item @ diags(inverse(n_users, 0.4))).tocsr()
        w.setdiag(0.0)
        w.eliminate_zeros()
        keep = []
        for row in range(w.shape[0]):
            begin, end = w.indptr[row], w.indptr[row + 1]
            best = np.argsort(-w.data[begin:end], kind="stable")[:100] + begin
            keep.append(np.sort(best))
        sizes = np.array([len(k) for k in keep])
        keep = np.concatenate(keep)
        w = csr_matrix((w.data[keep], w.indices[keep], np.r_[0, np.cumsum(sizes)]), shape=w.shape)
        seconds = now() - start
        return seconds, lambda users: (x[users] @ w).toarray()
    if kind == "sklearn":
        from sklearn.linear_model import ElasticNet
        n = x.shape[0]
        columns = x.tocsc()
        w = np.zeros((x.shape[1], x.shape[1]))
        start = now()
        for target in range(x.shape[1]):
            begin, end = columns.indptr[target:target + 2]
            y = np.asarray(columns[:, target].todense()).ravel()
            own = columns.data[begin:end].copy()
            columns.data[begin:end] = 0.0
            net = ElasticNet(alpha=22.0 / n, l1_ratio=2.0 / 22.0, positive=True,
                             fit_intercept=False, tol=1e-4, max_iter=100)
            w[:, target] = net.fit(columns, y).coef_
            columns.data[begin:end] = own
        seconds = now() - start
        return seconds, lambda users: x[users] @ w
    raise ValueError(name)


def run_peer(name, folder, lists):
    x = load(folder)
    seconds, score = peer_scores(name, x)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    if lists:
        users = np.fromfile(folder / "users.bin", dtype=np.uint32).astype(np.int64)
        items, values = [], []
        for chunk in np.array_split(users, max(1, len(users) // 100)):
            scores = np.asarray(score(chunk), dtype=np.float64)
            for row, user in enumerate(chunk):
                scores[row, x.indices[x.indptr[user]:x.indptr[user + 1]]] = -np.inf
            items.append(np.argsort(-scores, axis=1, kind="stable")[:, :10])
            values.append(scores)
        np.savez(lists, items=np.concatenate(items), scores=np.concatenate(values))
    print(json.dumps({"seconds": seconds[0], "cpu": seconds[1], "peak_mb": peak}))


def equal_lists(ours, lists):
    """The share of users whose ten best are the peer's, up to ties of the peer's scores."""
    peer = np.load(lists)
    ours = np.fromfile(ours, dtype=np.uint32).reshape(-1, 10).astype(np.int64)
    same = 0
    for own, other, scores in zip(ours, peer["items"], peer["scores"]):
        a, b = scores[np.minimum(own, len(scores) - 1)], scores[other]
        same += bool(np.all((own == other) | (np.abs(a - b) <= 1e-6 * np.maximum(np.abs(b), 1e-30))))
    return same / len(ours)


def one(command):
    env = dict(ENV)
    # Some machines name a kernel of OpenBLAS that is slower than the one it would find.
    env.pop("OPENBLAS_CORETYPE", None)
    env.pop("OPENBLAS_L2_SIZE", None)
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(args, folder, name):
    model, params, peer = ROWS[name]
    n_items = int((folder / "shape.txt").read_text().split()[1])
    too_large = lambda key: n_items > LIMITS.get(key, 1 << 60)
    if too_large(model):
        return
    if peer and too_large(peer.split()[0]):
        peer = None
    params = {**params, "use_values": (folder / "values.bin").exists()}
    own_lists, peer_lists = folder / "own.bin", folder / "peer.npz"
    ours, theirs = [], []
    for turn in range(args.repeats):
        own = [args.program, str(folder), model, json.dumps(params), str(THREADS)]
        ours.append(one(own + ([str(own_lists)] if turn == 0 else [])))
        if peer:
            command = [sys.executable, "-W", "ignore", __file__, "--peer", peer, str(folder)]
            theirs.append(one(command + ([str(peer_lists)] if turn == 0 else [])))
    if None in ours:
        return
    median = lambda runs, key: statistics.median(run[key] for run in runs)
    line = (f"| {folder.name} | {name} | {median(ours, 'seconds'):.3f} | "
            f"{median(ours, 'cpu'):.2f} | ")
    if peer and None not in theirs:
        ratio = lambda key: statistics.median(
            t[key] / max(o[key], 0.005) for o, t in zip(ours, theirs))
        line += (f"{peer} | {median(theirs, 'seconds'):.3f} | {median(theirs, 'cpu'):.2f} | "
                 f"{ratio('seconds'):.2f} | {ratio('cpu'):.2f} | "
                 f"{100 * equal_lists(own_lists, peer_lists):.2f} % | "
                 f"{median(ours, 'peak_mb'):.0f} | {median(theirs, 'peak_mb'):.0f} |")
    else:
        line += f"– | – | – | – | – | – | {median(ours, 'peak_mb'):.0f} | – |"
    print(line, flush=True)


def main():
    if sys.argv[1] == "--peer":
        run_peer(sys.argv[2], Path(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else None)
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("work")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print("| data | model | s | CPU s | peer | s | CPU s | ratio | ratio of CPU | equal lists "
          "| MB | MB of the peer |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for data in args.data:
        folder = prepare(args.work, data)
        for name in ROWS:
            if args.only in name:
                compare(args, folder, name)


if __name__ == "__main__":
    main()
