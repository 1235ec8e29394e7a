"""Rating models beside Surprise: errors of the same five folds, and the time they take.

    pip install scikit-surprise==1.1.5
    cargo bench --profile dev -p quintet-cf --bench rating --no-run
    python benches/peers/surprise_models.py QUINTET_RATING U_DATA WORK [--models svd,knn] [--repeats 3]

QUINTET_RATING is the bench executable (target/debug/deps/rating-*), U_DATA MovieLens' `u.data` (user,
item, rating, time, separated by tabs; `generate:ROWS` makes up ratings instead), WORK a folder. The
ratings are sorted by user, then item, and dealt out to five folds with a fixed seed, once, to
WORK/ratings.tsv; both sides read that file, so they visit the ratings in the same order. Every run is
a process of its own, tools take turns, repeats use other seeds. Printed: RMSE and MAE of both (means
over folds and seeds), their differences, the largest difference between two predictions where nothing
is random, the published five-fold RMSE and MAE of Surprise on ML-100k (other folds), and the mean
seconds of one fold, to fit and to predict, with ratios: processor time of all threads of a process, so
that what else the machine does counts for little (Quintet's in steps of 0.01 s). Quintet has --threads threads (2), Surprise one.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

N_FOLDS, SEED = 5, 20240229
OUTPUT = dict(scale=[1, 5], unknown="global_mean")


def knn(kind, similarity, by_user=True, **more):
    names = dict(basic="KNNBasic", centred="KNNWithMeans", zscore="KNNWithZScore",
                 baseline="KNNBaseline")
    ours = dict(kind=kind, similarity=similarity, **more)
    theirs = dict(sim_options=dict(name=similarity, user_based=by_user), verbose=False, **more)
    return "knn-user" if by_user else "knn-item", ours, names[kind], theirs


# Name: our model, its parameters, Surprise's class, its parameters; published RMSE and MAE; whether
# it starts at random.
CASES = {
    "normal": (("normal", {}, "NormalPredictor", {}), (1.518, 1.219), True),
    "baseline": (("baseline", {}, "BaselineOnly", dict(verbose=False)), (.944, .748), False),
    "baseline sgd": (("baseline", dict(biases=dict(method="sgd")), "BaselineOnly",
                      dict(bsl_options=dict(method="sgd"), verbose=False)), None, False),
    "knn basic": (knn("basic", "msd"), (.980, .774), False),
    "knn centred": (knn("centred", "msd"), (.951, .749), False),
    "knn baseline": (knn("baseline", "msd"), (.931, .733), False),
    "knn zscore pearson": (knn("zscore", "pearson"), None, False),
    "knn basic cosine": (knn("basic", "cosine"), None, False),
    "knn baseline pearson_baseline": (knn("baseline", "pearson_baseline"), None, False),
    "knn-item centred": (knn("centred", "msd", False), None, False),
    "knn-item baseline pearson_baseline":
        (knn("baseline", "pearson_baseline", False), None, False),
    "slope one": (("slopeone", {}, "SlopeOne", {}), (.946, .743), False),
    "co-clustering": (("coclustering", {}, "CoClustering", {}), (.963, .753), True),
    "nmf": (("nmf", {}, "NMF", {}), (.963, .758), True),
    "svd": (("svd", {}, "SVD", {}), (.934, .737), True),
    "svd unbiased (pmf)": (("pmf", {}, "SVD", dict(biased=False)), None, True),
    "svd++": (("svdpp", {}, "SVDpp", dict(cache_ratings=True)), (.919, .721), True),
}


def make_ratings(source, path):
    import numpy as np
    if source.startswith("generate:"):
        rows = int(source.split(":")[1])
        rng = np.random.default_rng(SEED)
        n_users, n_items = max(rows // 165, 10), max(rows // 270, 10)  # as dense as ML-1M
        users = (n_users * rng.random(rows) ** 1.7).astype(int)
        items = (n_items * rng.random(rows) ** 2.0).astype(int)
        pairs = np.unique(np.stack([users, items], axis=1), axis=0)
        factors = rng.normal(0, .5, (n_users, 6)), rng.normal(0, .5, (n_items, 6))
        level = 3.5 + rng.normal(0, .4, n_users)[pairs[:, 0]] + rng.normal(0, .5, n_items)[pairs[:, 1]]
        taste = (factors[0][pairs[:, 0]] * factors[1][pairs[:, 1]]).sum(axis=1)
        noise = rng.normal(0, .8, len(pairs))
        values = np.clip(np.rint(level + taste + noise), 1, 5).astype(int)
        users, items = pairs[:, 0], pairs[:, 1]
    else:
        users, items, values, _ = np.loadtxt(source, dtype=int, unpack=True)
    users, items = (np.unique(ids, return_inverse=True)[1] for ids in (users, items))
    order = np.lexsort((items, users))
    folds = np.random.default_rng(SEED).permutation(len(order)) % N_FOLDS
    table = np.stack([users[order], items[order], values[order], folds], axis=1)
    np.savetxt(path, table, fmt="%d", delimiter="\t")


def use_surprise(path, name, seed, out):
    import numpy as np
    import surprise
    _, _, algorithm, params = CASES[name][0]
    users, items, values, folds = np.loadtxt(path, dtype=int, unpack=True)
    dataset = surprise.Dataset(surprise.Reader(rating_scale=(1, 5)))
    predictions, scores = np.zeros(len(users)), []
    if CASES[name][2] and name != "normal":
        params = dict(params, random_state=seed)
    np.random.seed(seed)
    for fold in range(N_FOLDS):
        train = np.flatnonzero(folds != fold)
        held = np.flatnonzero(folds == fold)
        raw = [(str(users[n]), str(items[n]), float(values[n]), None) for n in train]
        trainset = dataset.construct_trainset(raw)
        testset = [(str(users[n]), str(items[n]), float(values[n])) for n in held]
        model = getattr(surprise, algorithm)(**params)
        start = time.process_time()
        model.fit(trainset)
        fitted = time.process_time()
        found = np.array([p.est for p in model.test(testset)])
        done = time.process_time()
        predictions[held] = found
        errors = found - values[held]
        scores.append(dict(rmse=float(np.sqrt((errors ** 2).mean())),
                           mae=float(np.abs(errors).mean()),
                           fit_seconds=fitted - start, predict_seconds=done - fitted))
    np.savetxt(out, predictions, fmt="%.9g")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps(dict(folds=scores, peak_mb=peak)))


def one(command, threads):
    env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def mean(runs, key):
    return statistics.mean(fold[key] for run in runs for fold in run["folds"])


def seconds(runs, *keys):
    return statistics.mean(sum(fold[k] for k in keys) for run in runs for fold in run["folds"])


def main():
    if sys.argv[1] == "--peer":
        use_surprise(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("quintet")
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--models", help="only those with one of these in the name, by commas")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    import numpy as np
    path = os.path.join(options.work, "ratings.tsv")
    os.makedirs(options.work, exist_ok=True)
    make_ratings(options.data, path)
    n_ratings = sum(1 for _ in open(path))
    print(f"{options.data}: {n_ratings} ratings, {N_FOLDS} folds, means of "
          f"{options.repeats} runs, {options.threads} threads for Quintet, 1 for Surprise")
    print("| model | RMSE, MAE | Surprise | difference | largest of one prediction | published "
          "| fit s | predict s | fit + predict, ratio | peak MB |")
    print("|" + "---|" * 10)
    wanted = options.models.split(",") if options.models else [""]
    failed = []
    for name, ((model, ours, _, _), published, is_random) in CASES.items():
        if not any(w in name for w in wanted):
            continue
        files = [os.path.join(options.work, f) for f in ("ours.txt", "theirs.txt")]
        params = json.dumps(dict(ours, output=OUTPUT))
        runs, peers = [], []
        for seed in range(1, options.repeats + 1):
            runs.append(one([options.quintet, "cv", path, model, params, str(seed), files[0]],
                            options.threads))
            peers.append(one([sys.executable, __file__, "--peer", path, name, str(seed), files[1]], 1))
        errors = [mean(r, k) for r in (runs, peers) for k in ("rmse", "mae")]
        apart = [errors[0] - errors[2], errors[1] - errors[3]]
        if max(map(abs, apart)) > (.005 if is_random else .002):
            failed.append(name)
        largest = "random"
        if not is_random:
            largest = f"{np.abs(np.loadtxt(files[0]) - np.loadtxt(files[1])).max():.1e}"
        both = [seconds(r, "fit_seconds", "predict_seconds") for r in (runs, peers)]
        fits = [seconds(r, "fit_seconds") for r in (runs, peers)]
        predicts = [seconds(r, "predict_seconds") for r in (runs, peers)]
        peaks = [statistics.median(r["peak_mb"] for r in side) for side in (runs, peers)]
        print(f"| {name} | {errors[0]:.4f}, {errors[1]:.4f} | {errors[2]:.4f}, {errors[3]:.4f} "
              f"| {apart[0]:+.4f}, {apart[1]:+.4f} | {largest} "
              f"| {'%.3f, %.3f' % published if published else ''} "
              f"| {fits[0]:.3f}, {fits[1]:.3f} ({fits[1] / max(fits[0], .001):.1f} ×) "
              f"| {predicts[0]:.3f}, {predicts[1]:.3f} | {both[1] / max(both[0], .001):.1f} × "
              f"| {peaks[0]:.0f}, {peaks[1]:.0f} |", flush=True)
    if failed:
        sys.exit(f"further apart than 0.002, or 0.005 where random: {', '.join(failed)}")


if __name__ == "__main__":
    main()
