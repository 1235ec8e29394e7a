"""Full-size image networks of Quintet beside torchvision and transformers: the same vectors, and
how fast.

    python benches/parity/posters.py QUINTET WORK POSTERS [networks] [pictures] [repeats]

QUINTET is the program, WORK a folder for weights and results, POSTERS a folder of pictures named by
item. Every network gets random weights from its reference, saved as safetensors under the names it
was published with. Both sides go from the files to the vectors on two threads, in turns, each in a
process of its own; the peer's time leaves out importing its libraries and loading the weights, ours
leaves out nothing.
"""
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

NETWORKS = ["resnet50", "vgg16", "vit", "clip", "convnext_tiny", "resnet18"]


def reference(name):
    """The network, its preparation and what gives the vectors."""
    import torch
    import torchvision
    from torchvision.transforms import InterpolationMode as Mode, v2
    torch.manual_seed(7)
    usual = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    clip = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])

    def steps(resize, mode=Mode.BILINEAR, scale=usual):
        return v2.Compose([v2.Resize(resize, interpolation=mode), v2.CenterCrop(224),
                           v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
                           v2.Normalize(*scale)])

    def vit(model, x):
        tokens = torch.cat([model.class_token.expand(len(x), -1, -1), model._process_input(x)], 1)
        return model.encoder(tokens)[:, 0]

    def vgg(model, x):
        return model.classifier[:5](torch.flatten(model.avgpool(model.features(x)), 1))

    if name == "clip":
        from transformers import CLIPConfig, CLIPModel
        model = CLIPModel(CLIPConfig()).eval()
        run = lambda m, x: m.visual_projection(m.vision_model(pixel_values=x).pooler_output)
        return model, steps(224, Mode.BICUBIC, clip), run
    model = getattr(torchvision.models, {"vit": "vit_b_16"}.get(name, name))().eval()
    if name.startswith("resnet"):
        model.fc = torch.nn.Identity()
        # Fresh batch norms would let the numbers grow from block to block.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var.uniform_(1, 3)
                module.running_mean.normal_(0, 0.1)
    run = {"vit": vit, "vgg16": vgg}.get(name)
    if name == "convnext_tiny":
        run = lambda m, x: m.classifier[:2](m.avgpool(m.features(x))).flatten(1)
    return model, steps(236 if name == "convnext_tiny" else 256), run or (lambda m, x: m(x))


def save(name, folder):
    from safetensors.torch import save_file
    model, _, _ = reference(name)
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder)
    else:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()},
                  folder / "model.safetensors")


def peer(name, work, pictures):
    import numpy as np
    import torch
    from PIL import Image
    torch.set_num_threads(2)
    model, steps, run = reference(name)
    files = [pathlib.Path(p) for p in pictures]
    vectors, start = [], time.perf_counter()
    with torch.inference_mode():
        for first in range(0, len(files), 32):
            batch = [steps(Image.open(f).convert("RGB")) for f in files[first:first + 32]]
            vectors.append(run(model, torch.stack(batch)))
    seconds = time.perf_counter() - start
    np.save(work / f"{name}.npy", torch.cat(vectors).numpy())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(dict(seconds=seconds, peak_mb=peak)))


RUN_FILE = """name = "{name}"
[ingest]
name = "posters"
[[ingest.tables.interactions]]
path = "events.csv"
columns = {{ user = "user", item = "item" }}
[ingest.tables.items]
path = "items.csv"
columns = {{ id = "item" }}
[[ingest.media]]
modality = "image"
folder = "pictures"
[split]
strategy = "random"
[[encode]]
modality = "image"
encoder = "{name}"
params = {{ weights = "weights/{name}" }}
[[models]]
model = "popularity"
"""


def prepare(quintet, name, work, files):
    """A catalogue of the pictures, ingested; gives the run file's folder."""
    folder = work / "data"
    subprocess.run(["rm", "-rf", folder], check=True)
    (folder / "pictures").mkdir(parents=True)
    for file in files:
        (folder / "pictures" / file.name).write_bytes(file.read_bytes())
    (folder / "items.csv").write_text("item\n" + "".join(f"{f.stem}\n" for f in files))
    (folder / "events.csv").write_text("user,item\n" + "".join(
        f"u{i % 5},{f.stem}\n" for i, f in enumerate(files)))
    (work / f"{name}.toml").write_text(RUN_FILE.format(name=name))
    subprocess.run(command(quintet, "ingest", name), cwd=work, check=True, capture_output=True)


def command(quintet, verb, name):
    return [quintet, "--threads", "2", verb, f"{name}.toml", "--data-root", "data", "--out", name]


def ours(quintet, name, work):
    store = work / name / "features"
    subprocess.run(["rm", "-rf", store], check=True)
    for cache in work.glob("**/cache"):
        subprocess.run(["rm", "-rf", cache], check=True)
    start = time.perf_counter()
    subprocess.run(command(quintet, "encode", name), cwd=work, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    # Of the largest child so far: only the first run, before any peer, says ours.
    return dict(seconds=seconds, peak_mb=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


def compare(name, work, files):
    import numpy as np
    import pyarrow.parquet as pq
    store = next((work / name / "features").glob(f"image-{name}-*"))
    rows = {item: row for row, item in enumerate(pq.read_table(store / "ids.parquet")[0].to_pylist())}
    mine = np.load(store / "features.npy")[[rows[f.stem] for f in files]]
    theirs = np.load(work / f"{name}.npy")
    cosine = (mine * theirs).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(theirs, axis=1)
    off = np.abs(mine - theirs) - 1e-3 * np.abs(theirs)
    print(f"{name:14} {mine.shape} cosine at least {cosine.min():.8f}; beyond 0.1 %: {off.max():.1e} of "
          f"{np.abs(theirs).max():.1e}")


def main():
    if sys.argv[1] == "--peer":
        return peer(sys.argv[2], pathlib.Path(sys.argv[3]), sys.stdin.read().splitlines())
    quintet, work, posters = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    quintet = str(pathlib.Path(quintet).resolve())
    names = sys.argv[4].split(",") if len(sys.argv) > 4 else NETWORKS
    many = int(sys.argv[5]) if len(sys.argv) > 5 else 64
    repeats = int(sys.argv[6]) if len(sys.argv) > 6 else 1
    work.mkdir(parents=True, exist_ok=True)
    files = sorted(posters.glob("*.jpg"), key=lambda f: int(f.stem))[:many]
    env = dict(os.environ, OMP_NUM_THREADS="2", MKL_NUM_THREADS="2")
    for name in names:
        folder = work / "weights" / name
        if not (folder / "model.safetensors").exists():
            save(name, folder)
        prepare(quintet, name, work, files)
        runs = {"quintet": [], "reference": []}
        for _ in range(repeats):
            runs["quintet"].append(ours(quintet, name, work))
            line = subprocess.run(
                [sys.executable, __file__, "--peer", name, str(work)], env=env, check=True,
                input="\n".join(map(str, files)), capture_output=True, text=True).stdout
            runs["reference"].append(json.loads(line.strip().splitlines()[-1]))
        compare(name, work, files)
        middle = {who: statistics.median(r["seconds"] for r in all_) for who, all_ in runs.items()}
        for who, all_ in runs.items():
            print(f"  {who:10} {middle[who]:7.2f} s  {len(files) / middle[who]:6.2f} pictures/s  peak "
                  f"{min(r['peak_mb'] for r in all_):5.0f} MB  {middle['reference'] / middle[who]:.2f}x",
                  flush=True)


main()
