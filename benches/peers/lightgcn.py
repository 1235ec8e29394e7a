"""Epochs of LightGCN: Quintet and RecBole (PyTorch) on the same interactions, in turns.

    pip install recbole==1.2.1 torch
    cargo bench --profile dev -p quintet-cf --bench lightgcn --no-run
    python benches/peers/lightgcn.py QUINTET_LIGHTGCN FILE [repeats] [epochs] [--layers=2,3]

QUINTET_LIGHTGCN is the bench executable (target/debug/deps/lightgcn-*), FILE a tab-separated table
with the columns user, item and part (0 training, 1 validation, 2 test). Width 64, batch 2,048,
Adam 1e-3, squared L2 1e-5, one uniform negative a positive, two threads each. An epoch is all of
it: negatives, forward, backward, Adam; RecBole through its own trainer. Every run is a process of
its own; the first epoch of a process warms up and is left out; medians and ratios pair by pair. The
processor time of an epoch (all threads) says more than the clock where the machine is busy.

The third row is RecBole's model with its matrix in PyTorch's compressed rows instead of the
coordinates that RecBole keeps: a stronger peer than the library as it is.

RecBole 1.2.1 fills its matrix through a private method of SciPy that newer versions lack; the
entries are set through the public one here, once, before training: the matrix and everything
that is timed are unchanged.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

THREADS = "2"
ENV = dict(os.environ, OMP_NUM_THREADS=THREADS, MKL_NUM_THREADS=THREADS,
           OPENBLAS_NUM_THREADS=THREADS, RAYON_NUM_THREADS=THREADS, CUDA_VISIBLE_DEVICES="")
DIM, BATCH = 64, 2048


def recbole(folder, layers, epochs, form):
    import logging
    import numpy as np
    import scipy.sparse as sp
    import torch
    # Names that RecBole 1.2.1 still uses.
    for old, new in (("float", float), ("int", int), ("bool", bool), ("object", object),
                     ("long", np.int64), ("unicode_", np.str_), ("float_", np.float64),
                     ("bool8", np.bool_), ("complex_", np.complex128), ("Inf", np.inf)):
        if old not in np.__dict__:
            setattr(np, old, new)
    if not hasattr(sp.dok_matrix, "_update"):
        def update(self, entries):
            for place, value in entries.items():
                self[place] = value
        sp.dok_matrix._update = update
    torch.set_num_threads(int(THREADS))
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed
    logging.disable(logging.CRITICAL)
    config = Config(model="LightGCN", dataset="peer", config_dict={
        "data_path": folder, "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id"]}, "embedding_size": DIM, "n_layers": layers,
        "reg_weight": 1e-5, "require_pow": True, "learning_rate": 1e-3, "train_batch_size": BATCH,
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1, "dynamic": False,
                                  "candidate_num": 0},
        "eval_args": {"order": "RO", "mode": "full", "group_by": "user", "split": {"LS": "valid"}},
        "use_gpu": False, "show_progress": False, "seed": 1, "save_dataset": False,
        "checkpoint_dir": folder, "epochs": epochs})
    init_seed(1, True)
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    start = time.perf_counter()
    model = get_model("LightGCN")(config, train.dataset)
    if form == "csr":
        model.norm_adj_matrix = model.norm_adj_matrix.coalesce().to_sparse_csr()
    prepare = time.perf_counter() - start
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    seconds, cpu, losses = [], [], []
    for epoch in range(epochs):
        model.train()
        start, busy = time.perf_counter(), time.process_time()
        loss = trainer._train_epoch(train, epoch, show_progress=False)
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
        losses.append(float(loss) / len(train))
    print(json.dumps(dict(
        tool=f"recbole ({form}), torch " + torch.__version__, prepare=prepare, seconds=seconds,
        cpu=cpu, losses=losses, pairs=len(train.dataset),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)))


def one(command):
    out = subprocess.run(command, env=ENV, capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr[-3000:])
    return json.loads(out.stdout.strip().splitlines()[-1])


def main():
    if sys.argv[1] == "--peer":
        recbole(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
        return
    words = [w for w in sys.argv[1:] if not w.startswith("--layers")]
    layers = next((w.split("=")[1] for w in sys.argv if w.startswith("--layers=")), "2,3")
    binary, path = words[:2]
    repeats = int(words[2]) if len(words) > 2 else 5
    epochs = int(words[3]) if len(words) > 3 else 4
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "peer"))
        parts = {0: "train", 1: "valid", 2: "test"}
        files = {p: open(os.path.join(folder, "peer", f"peer.{name}.inter"), "w")
                 for p, name in parts.items()}
        for file in files.values():
            file.write("user_id:token\titem_id:token\n")
        with open(path) as lines:
            next(lines)
            for line in lines:
                user, item, part = line.split("\t")[:3]
                files[int(float(part))].write(f"{user}\t{item}\n")
        for file in files.values():
            file.close()
        for n in layers.split(","):
            commands = {
                "quintet": [binary, path, str(DIM), n, str(BATCH), str(epochs)],
            }
            for form in ("coo", "csr"):
                commands[form] = [sys.executable, __file__, "--peer", folder, n, str(epochs), form]
            runs = {name: [] for name in commands}
            for _ in range(repeats):
                for name, command in commands.items():
                    runs[name].append(one(command))
            print(f"\n{n} layers, {runs['quintet'][0]['pairs']} and "
                  f"{runs['coo'][0]['pairs']} pairs")
            epoch = {name: [statistics.median(r["seconds"][1:]) for r in of]
                     for name, of in runs.items()}
            busy = {name: statistics.median(statistics.median(r["cpu"][1:]) for r in of)
                    for name, of in runs.items()}
            for name, of in runs.items():
                print(f"{of[0]['tool']:34} {statistics.median(epoch[name]):8.3f} s an epoch "
                      f"({min(epoch[name]):.3f} to {max(epoch[name]):.3f}), "
                      f"{busy[name]:.2f} s of processor time, "
                      f"peak {max(r['peak_mb'] for r in of):.0f} MB, "
                      f"losses {', '.join(f'{x:.4f}' for x in of[0]['losses'])}")
            for form in ("coo", "csr"):
                ratios = [b / a for a, b in zip(epoch["quintet"], epoch[form])]
                print(f"ratio to recbole ({form}): median {statistics.median(ratios):.2f}, "
                      f"{min(ratios):.2f} to {max(ratios):.2f} over {repeats} pairs of runs; "
                      f"of processor time {busy[form] / busy['quintet']:.2f}")


if __name__ == "__main__":
    main()
