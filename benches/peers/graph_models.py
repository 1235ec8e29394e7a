"""Models over graphs, epoch by epoch, beside PyTorch on the processor.

    pip install torch==2.15.0 numpy
    cargo bench --profile dev --bench epochs --no-run
    python graph_models.py EPOCHS_BENCH WORK DATA.inter [--features MODALITY=FILE.npy]...
        [--random-features] [--models lightgcn,freedom] [--epochs 3] [--repeats 3]

The PyTorch side is written here from the same equations, and as fast as we know how: sparse
products are `embedding_bag` with weights (5 ms for TikTok's graph where `torch.sparse` takes 20 to
45), with a gradient of their own (autograd would build the transposed product anew), features projected for the rows of the batch alone where
that is the same, one matrix product and `topk` for the ranking of a block of users. Both sides
have the same hyper-parameters, two threads, and run in turns, each in a process of its own.
`--random-features` makes pictures of 4,096 numbers and texts of 384 for data without features, of
the size that the Amazon sets have. Quintet's start (neighbours, tables) and PyTorch's are not in
the epochs. Losses are printed so that a reader sees that both train the same thing.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

THREADS = 2
ENV = dict(os.environ, OMP_NUM_THREADS=str(THREADS), MKL_NUM_THREADS=str(THREADS),
           RAYON_NUM_THREADS=str(THREADS))
DIM, BATCH = 64, 2048
MODELS = {
    "lightgcn": {"dim": DIM, "layers": 2, "lr": 1e-3, "batch_size": BATCH, "l2": 1e-4},
    "vbpr_benchmark": {"lr": 1e-3, "batch_size": BATCH},
    "freedom": {"lr": 1e-3, "batch_size": BATCH, "edge_dropout": 0.8, "reg": 1e-3},
    "bm3": {"lr": 1e-3, "batch_size": BATCH, "layers": 1},
    "mgcn": {"lr": 1e-3, "batch_size": BATCH},
}


def load(path):
    import numpy as np
    table = np.loadtxt(path, dtype=np.int64, delimiter="\t", skiprows=1)
    return [table[table[:, 2] == part][:, :2] for part in (0, 1)], table[:, :2].max(0) + 1


class World:
    """Data and the blocks that the models share."""

    def __init__(self, path, features):
        import numpy as np
        import torch
        self.torch = torch
        torch.set_num_threads(THREADS)
        torch.manual_seed(1)
        (self.train, self.valid), (self.n_users, self.n_items) = load(path)
        self.rng = np.random.default_rng(1)
        self.seen = set((self.train[:, 0] * self.n_items + self.train[:, 1]).tolist())
        self.used = np.unique(self.train[:, 1])
        self.x = {}
        for text in features:
            name, file = text.split("=", 1)
            self.x[name] = torch.from_numpy(np.load(file).astype(np.float32))

    def csr(self, rows, cols, values, shape):
        import numpy as np
        order = np.lexsort((cols, rows))
        rows, cols, values = rows[order], cols[order], values[order]
        indptr = np.zeros(shape[0] + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=shape[0]), out=indptr[1:])
        t = self.torch
        return tuple(t.from_numpy(a) for a in (indptr[:-1].copy(), cols.astype(np.int64),
                                               values.astype(np.float32)))

    def user_item(self, edges):
        import numpy as np
        n = self.n_users + self.n_items
        u, i = edges[:, 0], edges[:, 1] + self.n_users
        degree = np.bincount(np.concatenate([u, i]), minlength=n).astype(np.float64)
        value = 1.0 / np.sqrt(degree[u] * degree[i])
        return self.csr(np.concatenate([u, i]), np.concatenate([i, u]),
                        np.concatenate([value, value]), (n, n))

    def users_of_items(self):
        import numpy as np
        u, i = self.train[:, 0], self.train[:, 1]
        value = 1.0 / np.sqrt(np.bincount(u, minlength=self.n_users)[u].astype(float)
                              * np.bincount(i, minlength=self.n_items)[i])
        return (self.csr(u, i, value, (self.n_users, self.n_items)),
                self.csr(i, u, value, (self.n_items, self.n_users)))

    def knn(self, x, k, cosines):
        """Rows, columns and values of the normalised graph, itself among the k."""
        import numpy as np
        t = self.torch
        unit = t.nn.functional.normalize(x)
        columns, values = [], []
        for begin in range(0, len(x), 1024):
            best = (unit[begin:begin + 1024] @ unit.T).topk(k)
            columns.append(best.indices)
            values.append(best.values if cosines else t.ones_like(best.values))
        columns, values = t.cat(columns).numpy(), t.cat(values).numpy().astype(np.float64)
        root = 1.0 / np.sqrt(values.sum(1))
        values = values * root[:, None] * root[columns]
        return np.repeat(np.arange(len(x)), k), columns.reshape(-1), values.reshape(-1)

    def product(self):
        """`S x` for a matrix and its transpose, with a gradient of its own."""
        t = self.torch

        def multiply(matrix, x):
            indptr, columns, values = matrix
            return t.nn.functional.embedding_bag(columns, x, indptr, mode="sum",
                                                 per_sample_weights=values)

        class Product(t.autograd.Function):
            @staticmethod
            def forward(ctx, x, matrix, turned):
                ctx.turned = turned
                return multiply(matrix, x)

            @staticmethod
            def backward(ctx, grad):
                return multiply(ctx.turned, grad.contiguous()), None, None

        return Product.apply

    def sampled(self, share):
        import numpy as np
        u, i = self.train[:, 0], self.train[:, 1]
        weight = -0.5 * np.log(np.bincount(u)[u].astype(float) * np.bincount(i)[i])
        keys = weight + self.rng.gumbel(size=len(u))
        keep = np.argpartition(-keys, int(share * len(u)))[:int(share * len(u))]
        return self.user_item(self.train[keep])

    def batches(self):
        import numpy as np
        order = self.rng.permutation(len(self.train))
        users, items = self.train[order, 0], self.train[order, 1]
        negatives = self.rng.choice(self.used, len(order))
        while True:
            keys = users * self.n_items + negatives
            bad = np.fromiter((k in self.seen for k in keys.tolist()), bool, len(keys))
            if not bad.any():
                break
            negatives[bad] = self.rng.choice(self.used, bad.sum())
        t = self.torch
        for begin in range(0, len(order), BATCH):
            part = slice(begin, begin + BATCH)
            yield tuple(t.from_numpy(a[part]) for a in (users, items, negatives))


def layers_mean(product, s, x, layers):
    total = x
    for _ in range(layers):
        x = product(x, s, s)
        total = total + x
    return total / (layers + 1)


def bpr(t, u, i, j):
    return t.nn.functional.softplus((u * j).sum(1) - (u * i).sum(1)).mean()


def info_nce(t, a, b, tau):
    a, b = t.nn.functional.normalize(a), t.nn.functional.normalize(b)
    return t.nn.functional.cross_entropy(a @ b.T / tau, t.arange(len(a)))


def build(name, w):
    """(parameters, begin(), loss(batch), vectors())."""
    t, product = w.torch, w.product()
    nn = t.nn
    table = lambda rows, dim=DIM: nn.Parameter(nn.init.xavier_uniform_(t.empty(rows, dim)))
    s = w.user_item(w.train)
    n_users = w.n_users
    names = sorted(w.x, key=lambda n: ["text", "image", "audio"].index(n))
    if name == "vbpr_benchmark":
        x = t.cat([w.x[n] for n in names], 1)
        users, items = table(n_users, 2 * DIM), table(w.n_items)
        project = nn.Linear(x.shape[1], DIM)
        rows = lambda i: t.cat([items[i], project(x[i])], 1)

        def loss(u, i, j):
            u, i, j = users[u], rows(i), rows(j)
            return bpr(t, u, i, j) + 1e-2 * (u.norm() + i.norm() + j.norm()) / len(u)
        return ([users, items, *project.parameters()], lambda: None, loss,
                lambda: (users, rows(slice(None))))
    users, items = table(n_users), table(w.n_items)
    ego = lambda: t.cat([users, items])
    if name == "lightgcn":
        def vectors(graph=s):
            nodes = layers_mean(product, graph, ego(), 2)
            return nodes[:n_users], nodes[n_users:]

        def loss(u, i, j):
            a, b = vectors()
            penalty = (users[u] ** 2).sum() + (items[i] ** 2).sum() + (items[j] ** 2).sum()
            return bpr(t, a[u], b[i], b[j]) + 1e-4 * penalty / (2 * len(u))
        return [users, items], lambda: None, loss, vectors
    projections = {n: nn.Linear(w.x[n].shape[1], DIM) for n in names}
    weights = [users, items] + [p for layer in projections.values() for p in layer.parameters()]
    if name == "freedom":
        import numpy as np
        share = {n: 0.1 if n == "image" else 0.9 / (len(names) - 1) for n in names}
        parts = [(r, c, v * share[n]) for n in names for r, c, v in [w.knn(w.x[n], 10, False)]]
        r, c, v = (np.concatenate(p) for p in zip(*parts))
        shape = (w.n_items, w.n_items)
        alike, turned = w.csr(r, c, v, shape), w.csr(c, r, v, shape)
        state = {"graph": s}

        def begin():
            state["graph"] = w.sampled(0.2)

        def vectors(graph=None):
            nodes = layers_mean(product, s if graph is None else graph, ego(), 2)
            return nodes[:n_users], nodes[n_users:] + product(items, alike, turned)

        def loss(u, i, j):
            a, b = vectors(state["graph"])
            total = bpr(t, a[u], b[i], b[j])
            for n in names:
                p = lambda rows: projections[n](w.x[n][rows])
                total = total + 1e-3 * bpr(t, a[u], p(i), p(j))
            return total
        return weights, begin, loss, vectors
    if name == "bm3":
        g = nn.Linear(DIM, DIM)
        drop, cos = nn.Dropout(0.3), nn.CosineSimilarity(dim=1)

        def online():
            nodes = layers_mean(product, s, ego(), 1)
            return nodes[:n_users], nodes[n_users:] + items

        def loss(u, i, _):
            a, b = online()
            far = lambda x, y: 1 - cos(x, y).mean()
            with t.no_grad():
                ua, ib = drop(a[u]), drop(b[i])
            total = far(g(a[u]), ib) + far(g(b[i]), ua)
            for n in names:
                m = projections[n](w.x[n][i])
                with t.no_grad():
                    target = drop(m)
                total = total + 2 * (far(g(m), ib) + far(g(m), target))
            return total + 0.1 * (a.norm() + b.norm()) / w.n_items
        return (weights + list(g.parameters()), lambda: None, loss,
                lambda: tuple(g(x) for x in online()))
    if name == "mgcn":
        gates = {n: nn.Linear(DIM, DIM) for n in names}
        heads = {n: nn.Linear(DIM, DIM) for n in names}
        query, key = nn.Linear(DIM, DIM), nn.Linear(DIM, 1, bias=False)
        shape = (w.n_items, w.n_items)
        graphs = {}
        for n in names:
            r, c, v = w.knn(w.x[n], 10, True)
            graphs[n] = (w.csr(r, c, v, shape), w.csr(c, r, v, shape))
        r_hat, r_turned = w.users_of_items()

        def both():
            c = layers_mean(product, s, ego(), 2)
            m = {}
            for n in names:
                e = items * t.sigmoid(gates[n](projections[n](w.x[n])))
                e = product(e, *graphs[n])
                m[n] = t.cat([product(e, r_hat, r_turned), e])
            a = t.softmax(t.cat([key(t.tanh(query(m[n]))) for n in names], 1), 1)
            k = sum(a[:, p:p + 1] * m[n] for p, n in enumerate(names))
            special = [t.sigmoid(heads[n](c)) * (m[n] - k) for n in names]
            side = (sum(special) + k) / (len(names) + 1)
            return c, side

        def vectors():
            c, side = both()
            return (c + side)[:n_users], (c + side)[n_users:]

        def loss(u, i, j):
            c, side = both()
            final = c + side
            a, b = final[:n_users], final[n_users:]
            total = bpr(t, a[u], b[i], b[j])
            total = total + 1e-4 * sum((x ** 2).sum() for x in (a[u], b[i], b[j])) / (2 * BATCH)
            own = lambda rows: info_nce(t, side[rows], c[rows], 0.2)
            return total + 0.01 * (own(i + n_users) + own(u))
        more = [p for d in (gates, heads) for layer in d.values() for p in layer.parameters()]
        return (weights + more + [*query.parameters(), *key.parameters()], lambda: None, loss,
                vectors)
    raise SystemExit(f"no model {name}")


def evaluate(w, users, items):
    import numpy as np
    t = w.torch
    held = {}
    for u, i in w.valid.tolist():
        held.setdefault(u, set()).add(i)
    rows = np.array(sorted(held))
    order = np.argsort(w.train[:, 0], kind="stable")
    begin = np.searchsorted(w.train[order, 0], np.arange(w.n_users + 1))
    total = 0.0
    with t.no_grad():
        for at in range(0, len(rows), 1024):
            block = rows[at:at + 1024]
            scores = users[block] @ items.T
            lists = [w.train[order[begin[u]:begin[u + 1]], 1] for u in block]
            index = np.repeat(np.arange(len(block)), [len(x) for x in lists])
            scores[t.from_numpy(index), t.from_numpy(np.concatenate(lists))] = -1e10
            for u, best in zip(block.tolist(), scores.topk(20).indices.tolist()):
                total += len(held[u].intersection(best)) / len(held[u])
    return total / len(rows)


def peer(name, path, epochs, features):
    w = World(path, features)
    begun = time.perf_counter()
    weights, begin, loss, vectors = build(name, w)
    optimiser = w.torch.optim.Adam(weights, lr=1e-3)
    out = {"start": time.perf_counter() - begun, "train": [], "valid": [], "losses": [],
           "values": []}
    for _ in range(epochs):
        begun = time.perf_counter()
        begin()
        losses = []
        for batch in w.batches():
            optimiser.zero_grad()
            value = loss(*batch)
            value.backward()
            optimiser.step()
            losses.append(value.item())
        out["train"].append(time.perf_counter() - begun)
        out["losses"].append(statistics.mean(losses))
        begun = time.perf_counter()
        with w.torch.no_grad():
            users, items = vectors()
        out["values"].append(evaluate(w, users, items))
        out["valid"].append(time.perf_counter() - begun)
    out["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps(out))


def run(command):
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=ENV).stdout
    return json.loads(text.splitlines()[-1])


def random_features(work, path):
    import numpy as np
    _, (_, n_items) = load(path)
    rng, made = np.random.default_rng(5), []
    for name, dim in (("text", 384), ("image", 4096)):
        file = os.path.join(work, f"{os.path.basename(path)}.{name}.npy")
        if not os.path.exists(file):
            np.save(file, rng.normal(size=(n_items, dim)).astype(np.float32))
        made.append(f"{name}={file}")
    return made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("work")
    parser.add_argument("data")
    parser.add_argument("--features", action="append", default=[])
    parser.add_argument("--random-features", action="store_true")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.peer, args.data, args.epochs, args.features)
    features = args.features
    if args.random_features:
        features = features + random_features(args.work, args.data)
    given = [part for f in features for part in ("--features", f)]
    print("| model | quintet: epoch, valid s | PyTorch: epoch, valid s | ratio | with validation "
          "| peak MB | losses |\n|---|---|---|---|---|---|---|")
    for name in args.models.split(","):
        ours, theirs = [], []
        for _ in range(args.repeats):
            ours.append(run([args.bench, args.data, name, json.dumps(MODELS[name]),
                             str(args.epochs), str(THREADS), *features]))
            theirs.append(run([sys.executable, __file__, args.bench, args.work, args.data,
                               "--peer", name, "--epochs", str(args.epochs), *given]))
        # The first epoch of either side also warms up.
        middle = lambda runs, key: statistics.median(s for r in runs for s in r[key][1:] or r[key])
        a, b = middle(ours, "train"), middle(theirs, "train")
        c, d = middle(ours, "valid"), middle(theirs, "valid")
        losses = lambda r: ", ".join(f"{x:.4f}" for x in r["losses"])
        print(f"| {name} | {a:.3f}, {c:.3f} | {b:.3f}, {d:.3f} | {b / a:.2f} | "
              f"{(b + d) / (a + c):.2f} | {ours[0]['peak_mb']:.0f}, {theirs[0]['peak_mb']:.0f} | "
              f"{losses(ours[0])}; {losses(theirs[0])} |", flush=True)


if __name__ == "__main__":
    main()
