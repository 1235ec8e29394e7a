"""MiniLM of Quintet beside sentence-transformers and ONNX Runtime: the same vectors, and how fast.

    quintet ingest benches/parity/minilm.toml --data-root FOLDER --out OUT
    quintet encode benches/parity/minilm.toml --data-root FOLDER --out OUT
    python benches/parity/minilm.py QUINTET OUT WEIGHTS FOLDER [repeats]

QUINTET is the program, WEIGHTS the folder of all-MiniLM-L6-v2. Compares the stored vectors of all
texts, then times both on two threads in turn, each in a process of its own from the files to the
vectors; the peer's time leaves out importing its libraries, ours leaves out nothing.
"""
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent


def texts(out):
    import pyarrow.parquet as pq
    table = pq.read_table(pathlib.Path(out) / "dataset" / "items.parquet", columns=["id", "text"])
    return table["id"].to_pylist(), table["text"].to_pylist()


def peer(out, weights):
    """Encodes all texts; prints seconds and the vectors' place."""
    import numpy as np
    import torch
    torch.set_num_threads(2)
    from sentence_transformers import SentenceTransformer
    start = time.perf_counter()
    _, all_texts = texts(out)
    model = SentenceTransformer(weights, device="cpu")
    given = [t for t in all_texts if t]
    vectors = model.encode(given, batch_size=32, show_progress_bar=False)
    seconds = time.perf_counter() - start
    np.save(pathlib.Path(out) / "peer.npy", vectors)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(dict(seconds=seconds, peak_mb=peak, texts=len(given))))


def onnx_file(out, weights):
    """The network without its pooling, exported once."""
    import torch
    from transformers import AutoModel
    path = pathlib.Path(out) / "minilm.onnx"
    if not path.exists():
        model = AutoModel.from_pretrained(weights, attn_implementation="eager").eval()

        class States(torch.nn.Module):
            def forward(self, input_ids, attention_mask, token_type_ids):
                return model(input_ids=input_ids, attention_mask=attention_mask,
                             token_type_ids=token_type_ids).last_hidden_state
        names = ["input_ids", "attention_mask", "token_type_ids"]
        example = tuple(torch.ones(2, 9, dtype=torch.int64) for _ in names)
        axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=512)}
        torch.onnx.export(States(), example, str(path), input_names=names, output_names=["states"],
                          dynamic_shapes=tuple(axes for _ in names), dynamo=True)
    return path


def onnx_peer(out, weights):
    """As `peer`, with ONNX Runtime: batches of like length, tokens by the tokenizer's own threads."""
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer
    start = time.perf_counter()
    _, all_texts = texts(out)
    given = [t for t in all_texts if t]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(str(pathlib.Path(out) / "minilm.onnx"), options,
                                   providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(pathlib.Path(weights) / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    order = sorted(range(len(given)), key=lambda i: -len(given[i]))
    vectors = np.zeros((len(given), 384), dtype=np.float32)
    for first in range(0, len(order), 32):
        rows = order[first:first + 32]
        encoded = tokenizer.encode_batch([given[i] for i in rows])
        ids, mask, types = (np.array([getattr(e, key) for e in encoded], dtype=np.int64)
                            for key in ["ids", "attention_mask", "type_ids"])
        states = session.run(None, dict(input_ids=ids, attention_mask=mask, token_type_ids=types))[0]
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        vectors[rows] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(dict(seconds=seconds, peak_mb=peak, texts=len(given))))


def ours(quintet, out, folder, weights, precision="f32"):
    for kept in ["features", "cache"]:
        shutil.rmtree(pathlib.Path(out) / kept, ignore_errors=True)
    link = pathlib.Path(out) / "weights"
    if not link.exists():
        link.symlink_to(pathlib.Path(weights).resolve())
    run_file = (HERE / "minilm.toml").read_text()
    changed = run_file.replace('weights = "weights"', f'weights = "weights", precision = "{precision}"')
    (pathlib.Path(out) / f"{precision}.toml").write_text(changed)
    command = [str(pathlib.Path(quintet).resolve()), "--threads", "2", "encode",
               f"{precision}.toml", "--data-root", str(pathlib.Path(folder).resolve()),
               "--out", "."]
    start = time.perf_counter()
    subprocess.run(command, cwd=out, check=True, capture_output=True)
    # Of the largest child so far: only the first run, before any peer, says ours.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    seconds = time.perf_counter() - start
    store = next((pathlib.Path(out) / "features").glob("text-bert-*"))
    for name in ["features", "present"]:
        shutil.copy(store / f"{name}.npy", pathlib.Path(out) / f"{precision}-{name}.npy")
    return dict(seconds=seconds, peak_mb=peak / 1024)


def compare(out, precision):
    import numpy as np
    mine, present = (np.load(pathlib.Path(out) / f"{precision}-{name}.npy")
                     for name in ["features", "present"])
    theirs = np.load(pathlib.Path(out) / "peer.npy")
    _, all_texts = texts(out)
    rows = [i for i, t in enumerate(all_texts) if t]
    assert present[rows].all(), "a text without a vector"
    a, b = mine[rows], theirs
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    print(f"{precision}, {len(rows)} texts: cosine at least {cosine.min():.7f}, mean {cosine.mean():.7f}; "
          f"largest difference of a number {np.abs(a - b).max():.2e}")


def main():
    if sys.argv[1] == "--export":
        return onnx_file(*sys.argv[2:4])
    if sys.argv[1] in ("--peer", "--onnx"):
        return (peer if sys.argv[1] == "--peer" else onnx_peer)(*sys.argv[2:4])
    quintet, out, weights, folder = sys.argv[1:5]
    repeats = int(sys.argv[5]) if len(sys.argv) > 5 else 5
    env = dict(os.environ, OMP_NUM_THREADS="2", MKL_NUM_THREADS="2", TOKENIZERS_PARALLELISM="true",
               RAYON_NUM_THREADS="2")
    times = {"quintet": [], "quintet int8": [], "sentence-transformers": [], "onnxruntime": []}
    for run in range(repeats):
        times["quintet"].append(ours(quintet, out, folder, weights))
        times["quintet int8"].append(ours(quintet, out, folder, weights, "int8"))
        if run == 0:
            subprocess.run([sys.executable, __file__, "--export", out, weights], check=True,
                           capture_output=True)
        for name, flag in [("sentence-transformers", "--peer"), ("onnxruntime", "--onnx")]:
            line = subprocess.run([sys.executable, __file__, flag, out, weights], env=env,
                                  check=True, capture_output=True, text=True).stdout
            times[name].append(json.loads(line.strip().splitlines()[-1]))
    compare(out, "f32")
    compare(out, "int8")
    n = times["sentence-transformers"][0]["texts"]
    middle = {k: statistics.median(r["seconds"] for r in v) for k, v in times.items()}
    for name, runs in times.items():
        peak = min(r["peak_mb"] for r in runs)
        print(f"{name:22} {middle[name]:6.2f} s  {n / middle[name]:6.1f} texts/s  peak {peak:5.0f} MB  "
              f"{middle['sentence-transformers'] / middle[name]:.2f}x")


main()
