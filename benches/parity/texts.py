"""Full-size text networks of Quintet beside transformers: the same vectors.

    python benches/parity/texts.py QUINTET WORK FOLDER TOKENIZER [networks] [texts]

QUINTET is the program, WORK a folder for weights and results, FOLDER holds omdb.jsonl, TOKENIZER is a
folder with the WordPiece `tokenizer.json` of BERT (that of all-MiniLM-L6-v2 is the same). Every network
gets random weights from transformers, saved as safetensors under the names it is published with; both
sides read the same plots, cut at 256 tokens, and take the mean of the last states.
"""
import json
import pathlib
import shutil
import subprocess
import sys

NETWORKS = ["bert-base", "distilbert-base", "electra-base"]
TOKENS = 256

RUN_FILE = """name = "{name}"
[ingest]
name = "texts"
[[ingest.tables.interactions]]
path = "events.csv"
columns = {{ user = "user", item = "item" }}
[ingest.tables.items]
path = "texts.jsonl"
columns = {{ id = "id", text = ["text"] }}
[split]
strategy = "random"
[[encode]]
modality = "text"
encoder = "bert"
params = {{ weights = "../weights/{name}", max_tokens = {tokens}, pooling = "mean", precision = "{precision}" }}
[[models]]
model = "popularity"
"""


def reference(name):
    """The network with random weights at the size it is published in."""
    import torch
    import transformers
    torch.manual_seed(7)
    kind = {"bert-base": "Bert", "distilbert-base": "DistilBert", "electra-base": "Electra"}[name]
    sizes = {"electra-base": dict(embedding_size=768, hidden_size=768, num_attention_heads=12,
                                  intermediate_size=3072)}.get(name, {})
    config = getattr(transformers, f"{kind}Config")(vocab_size=30522, **sizes)
    return getattr(transformers, f"{kind}Model")(config).eval()


def vectors(model, tokenizer, texts):
    import numpy as np
    import torch
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.no_padding()
    rows = []
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([tokenizer.encode(text).ids])
            rows.append(model(input_ids=ids).last_hidden_state[0].mean(0).numpy())
    return np.stack(rows)


def ours(quintet, work, name, precision):
    """The stored vectors, by item."""
    import numpy as np
    import pyarrow.parquet as pq
    data, out = work / "data", work / f"{name}-{precision}"
    shutil.rmtree(out, ignore_errors=True)
    file = data / f"{name}-{precision}.toml"
    file.write_text(RUN_FILE.format(name=name, tokens=TOKENS, precision=precision))
    for verb in ["ingest", "encode"]:
        done = subprocess.run([quintet, "--threads", "2", verb, file.name, "--data-root", ".", "--out",
                               out], cwd=data, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
    store = next((out / "features").glob("text-bert-*"))
    ids = pq.read_table(store / "ids.parquet")[0].to_pylist()
    return dict(zip(ids, np.load(store / "features.npy")))


def main():
    import numpy as np
    quintet, work, folder, tokenizer = (pathlib.Path(p).resolve() for p in sys.argv[1:5])
    names = sys.argv[5].split(",") if len(sys.argv) > 5 else NETWORKS
    many = int(sys.argv[6]) if len(sys.argv) > 6 else 200
    lines = map(json.loads, (folder / "omdb.jsonl").read_text().splitlines())
    texts = [line["plot"] for line in lines if line.get("plot")][:many]
    (work / "data").mkdir(parents=True, exist_ok=True)
    (work / "data" / "texts.jsonl").write_text("".join(
        json.dumps(dict(id=f"t{i}", text=text)) + "\n" for i, text in enumerate(texts)))
    (work / "data" / "events.csv").write_text("user,item\n" + "".join(
        f"u{i % 5},t{i}\n" for i in range(len(texts))))
    for name in names:
        model, weights = reference(name), work / "weights" / name
        weights.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(weights)
        shutil.copy(tokenizer / "tokenizer.json", weights)
        theirs = vectors(model, tokenizer, texts)
        for precision in ["f32", "f16", "bf16", "int8"]:
            by_item = ours(quintet, work, name, precision)
            mine = np.stack([by_item[f"t{i}"] for i in range(len(texts))])
            norms = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
            cosine = (mine * theirs).sum(1) / norms
            print(f"{name:16} {precision:5} {mine.shape} cosine at least {cosine.min():.7f}, mean "
                  f"{cosine.mean():.7f}; largest difference of a number "
                  f"{np.abs(mine - theirs).max():.1e} of {np.abs(theirs).max():.1e}", flush=True)


main()
