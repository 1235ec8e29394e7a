"""NeuMF, MultiVAE and LightGCN on MovieLens-100k: Quintet and Cornac, one split, same parameters.

    pip install cornac==3.0.1 torch
    pip install --no-deps dgl==2.1.0       # for Cornac's LightGCN
    cargo bench --profile dev --bench baselines --no-run
    python benches/peers/cornac_models.py QUINTET_BASELINES U.DATA [seeds] [model,model]

QUINTET_BASELINES is the bench executable (target/debug/deps/baselines-*), U.DATA the file of the
ratings. Every rating is a positive; 80, 10 and 10 % of them by chance are training, validation
(unused) and test. A fixed number of epochs, no selection. Full ranking of all items without the
user's training items; means over users with test items, then over seeds, with the spread
(standard deviation) over seeds. One metric code, here, for Cornac; Quintet's own for Quintet: they
agree on the same lists.

What differs: Cornac's VAE takes rows of ones where MultiVAE scales them to length 1; the output
layers of its NeuMF start at 0.01; its LightGCN penalises propagated rows.
"""
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import types

ENV = dict(os.environ, OMP_NUM_THREADS="2", RAYON_NUM_THREADS="2", CUDA_VISIBLE_DEVICES="")
K = 20
MODELS = {
    "neumf": dict(epochs=10, ours=dict(
        dim=8, layers=[64, 32, 16, 8], negatives=4, lr=1e-3, batch_size=256)),
    "multivae": dict(epochs=50, ours=dict(
        hidden=600, latent=200, dropout=0.0, lr=1e-3, batch_size=100, beta=0.2,
        anneal_epochs=0.0)),
    "lightgcn": dict(epochs=30, ours=dict(
        dim=64, layers=2, lr=5e-3, batch_size=1024, l2=1e-4)),
}


def split(path):
    rows = [line.split()[:2] for line in open(path)]
    users = {u: k for k, u in enumerate(sorted({r[0] for r in rows}, key=int))}
    items = {i: k for k, i in enumerate(sorted({r[1] for r in rows}, key=int))}
    pairs = sorted((users[u], items[i]) for u, i in rows)
    random.Random(1).shuffle(pairs)
    n = len(pairs)
    train = sorted(pairs[:n * 8 // 10])
    # An item or user without a training pair would be numbered by one tool and not by the other.
    known_users, known_items = {u for u, _ in train}, {i for _, i in train}
    kept = lambda part: sorted(p for p in part if p[0] in known_users and p[1] in known_items)
    number = {i: k for k, i in enumerate(sorted(known_items))}
    parts = [train, kept(pairs[n * 8 // 10:n * 9 // 10]), kept(pairs[n * 9 // 10:])]
    return [[(u, number[i]) for u, i in part] for part in parts]


def metrics(scores, train, test):
    import numpy as np
    recall, ndcg = [], []
    for user, held in test.items():
        row = scores[user].copy()
        row[list(train[user])] = -np.inf
        top = np.argsort(-row, kind="stable")[:K]
        hits = [i in held for i in top]
        recall.append(sum(hits) / len(held))
        ideal = sum(1 / np.log2(r + 2) for r in range(min(K, len(held))))
        ndcg.append(sum(h / np.log2(r + 2) for r, h in enumerate(hits)) / ideal)
    return {f"recall@{K}": float(np.mean(recall)), f"ndcg@{K}": float(np.mean(ndcg))}


def peer(name, path, seed):
    import numpy as np
    import torch
    torch.set_num_threads(2)
    # A part of dgl that Cornac does not use and that binds to old versions of PyTorch.
    sys.modules.setdefault("dgl.graphbolt", types.ModuleType("dgl.graphbolt"))
    from cornac import models
    from cornac.data import Dataset
    parts = json.load(open(path))
    p, epochs = MODELS[name]["ours"], MODELS[name]["epochs"]
    data = Dataset.from_uir([(u, i, 1.0) for u, i in parts[0]], seed=seed)
    common = dict(seed=seed, verbose=False)
    if name == "neumf":
        model = models.NeuMF(num_factors=p["dim"], layers=p["layers"], act_fn="relu",
                             num_epochs=epochs, batch_size=p["batch_size"],
                             num_neg=p["negatives"], lr=p["lr"], backend="pytorch", **common)
    elif name == "multivae":
        model = models.VAECF(k=p["latent"], autoencoder_structure=[p["hidden"]], act_fn="tanh",
                             likelihood="mult", n_epochs=epochs, batch_size=p["batch_size"],
                             learning_rate=p["lr"], beta=p["beta"], **common)
    else:
        model = models.LightGCN(emb_size=p["dim"], num_epochs=epochs, learning_rate=p["lr"],
                                batch_size=p["batch_size"], num_layers=p["layers"],
                                lambda_reg=p["l2"], **common)
    start = time.perf_counter()
    model.fit(data)
    seconds = time.perf_counter() - start
    n_users, n_items = (1 + max(pair[k] for pair in parts[0]) for k in (0, 1))
    scores = np.full((n_users, n_items), -np.inf)
    items = np.array([data.iid_map[i] for i in range(n_items)])
    for user in range(n_users):
        scores[user] = np.asarray(model.score(data.uid_map[user])).reshape(-1)[items]
    train, test = {}, {}
    for part, to in ((0, train), (2, test)):
        for u, i in parts[part]:
            to.setdefault(u, set()).add(i)
    print(json.dumps(dict(metrics(scores, train, test), seconds=seconds)))


def run(command):
    out = subprocess.run(command, env=ENV, capture_output=True, text=True)
    if out.returncode:
        raise RuntimeError(out.stderr.strip()[-2000:])
    return out.stdout


def main():
    if sys.argv[1] == "--peer":
        peer(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    quintet, path = sys.argv[1:3]
    seeds = list(range(1, 1 + (int(sys.argv[3]) if len(sys.argv) > 3 else 3)))
    names = sys.argv[4].split(",") if len(sys.argv) > 4 else list(MODELS)
    with tempfile.TemporaryDirectory() as folder:
        parts = split(path)
        file = os.path.join(folder, "split.json")
        json.dump(parts, open(file, "w"))
        table = os.path.join(folder, "split.inter")
        with open(table, "w") as out:
            out.write("userID\titemID\tx_label\n")
            for label, part in enumerate(parts):
                out.writelines(f"{u}\t{i}\t{label}\n" for u, i in part)
        for name in names:
            epochs, ours = MODELS[name]["epochs"], MODELS[name]["ours"]
            plan = os.path.join(folder, name + ".toml")
            with open(plan, "w") as out:
                params = ", ".join(f"{k} = {json.dumps(v)}" for k, v in ours.items())
                out.write(f'[[models]]\nmodel = "{name}"\nparams = {{ {params} }}\n'
                          f"seeds = {seeds}\nepochs = {epochs}\neval_every = {epochs}\n")
            print(f"\n{name}, {epochs} epochs, {len(seeds)} seeds, Quintet:")
            print(run([quintet, table, plan, "--threads", "2"]))
            rows = []
            for seed in seeds:
                try:
                    rows.append(json.loads(run(
                        [sys.executable, __file__, "--peer", name, file, str(seed)]
                    ).strip().splitlines()[-1]))
                except RuntimeError as error:
                    print(f"Cornac fails: {error}")
                    break
            for key in rows[0] if rows else []:
                values = [row[key] for row in rows]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                print(f"Cornac {key}: {statistics.mean(values):.4f} ± {spread:.4f}")


if __name__ == "__main__":
    main()
