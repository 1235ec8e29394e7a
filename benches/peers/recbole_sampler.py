"""Uniform negatives of RecBole 1.2.1, for comparison with crates/quintet-data/benches/sampler.rs.

In a virtual environment of Python 3.11 outside the repository:

    pip install recbole==1.2.1 torch==2.2.2 "numpy<1.24" "pandas<2" scipy
    python benches/peers/recbole_sampler.py

It prints triples a second for whole epochs in batches of 4,096, the best of some epochs. The
timed part shuffles the pairs with one permutation, cuts them into batches and asks the sampler
for the negatives of each, which is what RecBole's training loader does without the cost of its
data loading. The data is made as in the Rust benchmark, number by number.
"""

import sys
import time

import numpy as np
import torch
from recbole.sampler import RepeatableSampler, Sampler

BATCH = 4096
# Users, items, fewest and most draws of a user, as in the Rust benchmark.
SHAPES = {
    "ml_100k_like": (943, 1_682, 20, 212),
    "100k_users_50k_items": (100_000, 50_000, 10, 93),
}


def mix(x):
    """The mix of SplitMix64, of `x` plus its step."""
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def interactions(n_users, n_items, fewest, most):
    """Users and items of the pairs, by user, then item.

    User u draws fewest + 7919 u mod (most - fewest) items, draw k from the numbers
    x = mix(2^20 u + k) and r = (x >> 11) / 2^53 as item floor(r^2 n_items); repeated items
    count once.
    """
    users = np.arange(n_users, dtype=np.uint64)
    n_draws = fewest + (users * np.uint64(7919) % np.uint64(most - fewest)).astype(np.int64)
    user = np.repeat(users, n_draws)
    first = np.repeat(np.cumsum(n_draws) - n_draws, n_draws)
    k = (np.arange(len(user)) - first).astype(np.uint64)
    r = (mix((user << np.uint64(20)) + k) >> np.uint64(11)).astype(np.float64) / 2.0**53
    item = (r * r * n_items).astype(np.uint64)
    pairs = np.unique(user * np.uint64(n_items) + item)
    users, items = np.divmod(pairs, np.uint64(n_items))
    return users.astype(np.int64), items.astype(np.int64)


class Dataset:
    """What the samplers read of a RecBole dataset. Position 0 is padding there."""

    uid_field, iid_field = "user_id", "item_id"

    def __init__(self, users, items, n_users, n_items):
        self.user_num, self.item_num = n_users + 1, n_items + 1
        self.inter_feat = {
            self.uid_field: torch.from_numpy(users + 1),
            self.iid_field: torch.from_numpy(items + 1),
        }


def epoch(sampler, users, items, rng):
    """One epoch; gives its seconds."""
    start = time.perf_counter()
    order = rng.permutation(len(users))
    users, items = users[order], items[order]
    for at in range(0, len(users), BATCH):
        batch = slice(at, at + BATCH)
        negatives = sampler.sample_by_user_ids(users[batch], items[batch], 1)
        assert len(negatives) == len(users[batch])
    return time.perf_counter() - start


def main():
    torch.set_num_threads(2)
    n_epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rng = np.random.default_rng(1)
    for name, (n_users, n_items, fewest, most) in SHAPES.items():
        users, items = interactions(n_users, n_items, fewest, most)
        data = Dataset(users, items, n_users, n_items)
        samplers = {
            # The first avoids every item of the user, as Quintet does; the second, which
            # makes a set for every row, avoids the row's own item only.
            "Sampler": Sampler(["train"], [data]).set_phase("train"),
            "RepeatableSampler": RepeatableSampler(["train"], data).set_phase("train"),
        }
        for kind, sampler in samplers.items():
            best = min(epoch(sampler, users + 1, items + 1, rng) for _ in range(n_epochs))
            rate = len(users) / best
            print(f"{name} pairs={len(users)} {kind} uniform: {rate:,.0f} triples/s", flush=True)


if __name__ == "__main__":
    main()
