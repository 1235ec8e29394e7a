"""Reading a table of interactions, the 5-core and a split by time: Quintet, pandas, polars.

    cargo bench --profile dev --bench tables -- generate DIR 1000000
    python benches/peers/tables.py QUINTET_TABLES DIR/1000000.csv [repeats]

QUINTET_TABLES is the bench executable (target/debug/deps/tables-*). Every run is a process of its
own with two threads; tools take turns; medians and the ratio to Quintet are printed. All tools
drop repeated pairs (the latest stays), take the 5-core to the fixed point and cut at the change of
time that is nearest to 80 % and 90 %; the counts must agree. The peers need not number users and
items nor build matrices, check ids and numbers or hash the file; Quintet does.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import time

ENV = dict(os.environ, POLARS_MAX_THREADS="2", OMP_NUM_THREADS="2", RAYON_NUM_THREADS="2",
           ARROW_NUM_THREADS="2")


def cuts(times, n):
    """First times of validation and test; `times` is a sorted numpy array."""
    import numpy as np
    n_test = int(np.floor(n * 0.1 + 0.5))
    n_valid = min(int(np.floor(n * 0.1 + 0.5)), n - n_test)

    def first(target):
        if target >= n:
            return None
        t = times[target]
        before, after = np.searchsorted(times, t, "left"), np.searchsorted(times, t, "right")
        at = before if target - before <= after - target else after
        return times[at] if at < n else None
    return first(n - n_test - n_valid), first(n - n_test)


def use_pandas(path):
    import numpy as np
    import pandas as pd
    start = time.perf_counter()
    if path.endswith("csv"):
        df = pd.read_csv(path, engine="c", dtype={"rating": "float32"})
    else:
        df = pd.read_parquet(path)
    read = time.perf_counter() - start
    df = df.sort_values("timestamp", kind="stable")
    df = df.drop_duplicates(["user", "item"], keep="last")
    came = len(df)
    while True:
        users, items = df["user"].value_counts(), df["item"].value_counts()
        keep = df["user"].map(users).ge(5) & df["item"].map(items).ge(5)
        if keep.all():
            break
        df = df[keep]
    core = time.perf_counter() - start - read
    times = df["timestamp"].to_numpy()
    v, t = cuts(times, len(df))
    i, j = np.searchsorted(times, v, "left"), np.searchsorted(times, t, "left")
    train, valid, test = df.iloc[:i], df.iloc[i:j], df.iloc[j:]
    total = time.perf_counter() - start
    counts = [came, len(df), df["user"].nunique(), df["item"].nunique(),
              len(train), len(valid), len(test)]
    return dict(tool="pandas " + pd.__version__, seconds=total, read=read, core=core,
                split=total - read - core, counts=counts)


def use_polars(path):
    import polars as pl
    start = time.perf_counter()
    if path.endswith("csv"):
        df = pl.read_csv(path, schema_overrides={"rating": pl.Float32})
    else:
        df = pl.read_parquet(path)
    read = time.perf_counter() - start
    df = df.sort("timestamp", maintain_order=True)
    df = df.unique(["user", "item"], keep="last", maintain_order=False)
    came = len(df)
    while True:
        before = len(df)
        users = df.group_by("user").len().filter(pl.col("len") >= 5).select("user")
        items = df.group_by("item").len().filter(pl.col("len") >= 5).select("item")
        df = df.join(users, on="user", how="semi").join(items, on="item", how="semi")
        if len(df) == before:
            break
    core = time.perf_counter() - start - read
    times = df["timestamp"].sort().to_numpy()
    v, t = cuts(times, len(df))
    time_of = pl.col("timestamp")
    train = df.filter(time_of < v)
    valid = df.filter((time_of >= v) & (time_of < t))
    test = df.filter(time_of >= t)
    total = time.perf_counter() - start
    counts = [came, len(df), df["user"].n_unique(), df["item"].n_unique(),
              len(train), len(valid), len(test)]
    return dict(tool="polars " + pl.__version__, seconds=total, read=read, core=core,
                split=total - read - core, counts=counts)


def one(command):
    out = subprocess.run(command, env=ENV, capture_output=True, text=True, check=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def main():
    if sys.argv[1] == "--peer":
        result = {"pandas": use_pandas, "polars": use_polars}[sys.argv[2]](sys.argv[3])
        result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        result["counts"] = [int(c) for c in result["counts"]]
        print(json.dumps(result))
        return
    quintet, path = sys.argv[1:3]
    repeats = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    commands = {"quintet": [quintet, "run", path]}
    for peer in ("pandas", "polars"):
        commands[peer] = [sys.executable, __file__, "--peer", peer, path]
    runs = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            # A file that was not read for half a minute may have left the cache of the system:
            # the first tool of each turn would then read from the disk, and the others not.
            with open(path, "rb") as file:
                while file.read(1 << 24):
                    pass
            runs[name].append(one(command))
    first = runs["quintet"][0]["counts"]
    for name, results in runs.items():
        assert all(r["counts"] == first for r in results), (name, results[0]["counts"], first)
    print(f"{path}: {first[0]} pairs, 5-core {first[1]} of {first[2]} users and {first[3]} items, "
          f"split {first[4]} / {first[5]} / {first[6]}")
    for name, results in runs.items():
        ratio = statistics.median(
            r["seconds"] / q["seconds"] for r, q in zip(results, runs["quintet"]))
        median = {k: statistics.median(r[k] for r in results)
                  for k in ("seconds", "read", "core", "split", "peak_mb")}
        print(f"{results[0]['tool']:16} {median['seconds']:8.2f} s (read {median['read']:.2f}, "
              f"core {median['core']:.2f}, split {median['split']:.2f})  "
              f"peak {median['peak_mb']:.0f} MB  {ratio:.2f}x the time of quintet")


if __name__ == "__main__":
    main()
