"""FREEDOM and LATTICE on generated data of the size of Amazon Electronics.

    cargo bench --profile dev --bench epochs --no-run
    python electronics.py EPOCHS_BENCH WORK [--models freedom,lattice] [--epochs 1]

192,403 users, 63,001 items, 1.7 M interactions, pictures of 4,096 numbers and texts of 384, the same on
every run: items are drawn as often as 1 / (rank + 50), users have five and a geometric number more.
Prints seconds of the start (neighbours, tables) and of an epoch and its validation, and the most
memory that the process held. A dense matrix of the items alone would be 15.9 GB.
"""
import argparse
import json
import os
import subprocess

import numpy as np

USERS, ITEMS, PAIRS = 192_403, 63_001, 1_700_000


def generate(work):
    table = os.path.join(work, "electronics.inter")
    rng = np.random.default_rng(3)
    for name, dim in (("text", 384), ("image", 4096)):
        path = os.path.join(work, f"electronics.{name}.npy")
        if not os.path.exists(path):
            out = np.lib.format.open_memmap(path, "w+", np.float32, (ITEMS, dim))
            for begin in range(0, ITEMS, 4096):
                out[begin:begin + 4096] = rng.normal(size=(min(4096, ITEMS - begin), dim))
    if not os.path.exists(table):
        sizes = 5 + rng.geometric(1 / (PAIRS / USERS - 4), USERS) - 1
        chance = 1 / (np.arange(ITEMS) + 50.0)
        items = rng.permutation(ITEMS)[rng.choice(ITEMS, sizes.sum(), p=chance / chance.sum())]
        keys = np.unique(np.repeat(np.arange(USERS), sizes) * np.int64(ITEMS) + items)
        part = np.where(rng.random(len(keys)) < 0.9, 0, 1)
        rows = np.stack([keys // ITEMS, keys % ITEMS, part], 1)
        np.savetxt(table, rows, fmt="%d", delimiter="\t", header="userID\titemID\tx_label",
                   comments="")
    return table


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("work")
    parser.add_argument("--models", default="freedom,lattice")
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    table = generate(args.work)
    features = [f"{name}={os.path.join(args.work, f'electronics.{name}.npy')}"
                for name in ("text", "image")]
    for name in args.models.split(","):
        params = json.dumps({"batch_size": 4096})
        text = subprocess.run([args.bench, table, name, params, str(args.epochs), "2", *features],
                              check=True, stdout=subprocess.PIPE, text=True).stdout
        found = json.loads(text.splitlines()[-1])
        print(f"{name}: start {found['start']:.0f} s, epoch {found['train'][-1]:.0f} s, "
              f"validation {found['valid'][-1]:.1f} s, {found['peak_mb']:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
