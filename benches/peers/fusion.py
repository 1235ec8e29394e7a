"""Forward and backward of fusion layers: Quintet on flex beside PyTorch on the CPU, same shapes.

    cargo bench --profile dev --bench fusion --no-run
    python benches/peers/fusion.py FUSION_BENCH [runs] [--all]

FUSION_BENCH is the bench executable (target/debug/deps/fusion-*). A batch of 2,048 items with four
modalities of 384, 2,048, 128 and 512 numbers, one in ten absent, to 64 numbers; the loss is the
mean square of the output; gradients of all weights, none of the features. Two threads each. The
PyTorch layers are written from the same equations: a layer norm and a linear map a modality, then
concatenation with presence flags and a linear layer (concat), low-rank factors of rank 8 (lmf), or
one pre-norm block of four heads over the tokens, absent ones hidden, mean over the present
(self_attention). `--all` times the other layers of Quintet as well. Processes run in turns; medians of all repetitions of all runs.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ENV = dict(os.environ, OMP_NUM_THREADS="2", RAYON_NUM_THREADS="2", CUDA_VISIBLE_DEVICES="")
BATCH, D_OUT, WIDTHS = 2048, 64, [384, 2048, 128, 512]


def layers(torch):
    nn, F = torch.nn, torch.nn.functional

    class Base(nn.Module):
        def __init__(self, extra=0):
            super().__init__()
            self.norms = nn.ModuleList(nn.LayerNorm(d) for d in WIDTHS)
            self.maps = nn.ModuleList(nn.Linear(d, D_OUT) for d in WIDTHS)

        def project(self, xs, mask):
            return [l(n(x * mask[:, m:m + 1])) * mask[:, m:m + 1]
                    for m, (x, n, l) in enumerate(zip(xs, self.norms, self.maps))]

    class Concat(Base):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(4 * D_OUT + 4, D_OUT)

        def forward(self, xs, mask):
            return self.out(torch.cat(self.project(xs, mask) + [mask], 1))

    class Lmf(Base):
        def __init__(self, rank=8):
            super().__init__()
            self.rank = rank
            self.factors = nn.ModuleList(nn.Linear(D_OUT, rank * D_OUT) for _ in WIDTHS)
            self.weights = nn.Parameter(torch.randn(rank) / rank)
            self.bias = nn.Parameter(torch.zeros(D_OUT))

        def forward(self, xs, mask):
            product = 1
            for m, (h, f) in enumerate(zip(self.project(xs, mask), self.factors)):
                k = mask[:, m:m + 1]
                product = product * (f(h) * k + (1 - k))
            product = product.view(-1, self.rank, D_OUT)
            return (product * self.weights[None, :, None]).sum(1) + self.bias

    class SelfAttention(Base):
        def __init__(self):
            super().__init__()
            self.kinds = nn.Parameter(torch.randn(4, D_OUT) * 0.1)
            self.block = nn.TransformerEncoderLayer(
                D_OUT, 4, 2 * D_OUT, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
            self.norm = nn.LayerNorm(D_OUT)

        def forward(self, xs, mask):
            tokens = torch.stack(self.project(xs, mask), 1) + self.kinds
            hidden = mask < 0.5
            hidden = hidden & ~hidden.all(1, keepdim=True)
            y = self.norm(self.block(tokens, src_key_padding_mask=hidden)) * mask[:, :, None]
            return y.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)

    return {"concat": Concat, "lmf": Lmf, "self_attention": SelfAttention}


def peer(name, repeats=15):
    import torch
    torch.set_num_threads(2)
    torch.manual_seed(1)
    model = layers(torch)[name]()
    xs = [torch.rand(BATCH, d) * 2 - 1 for d in WIDTHS]
    mask = (torch.rand(BATCH, 4) < 0.9).float()
    times = []
    for repeat in range(repeats + 2):
        model.zero_grad(set_to_none=True)
        begun = time.perf_counter()
        model(xs, mask).pow(2).mean().backward()
        if repeat >= 2:
            times.append(1e3 * (time.perf_counter() - begun))
    print(json.dumps({"ms": times, "parameters": sum(p.numel() for p in model.parameters())}))


def main():
    if sys.argv[1] == "--peer":
        return peer(sys.argv[2])
    every = "--all" in sys.argv
    words = [w for w in sys.argv[1:] if w != "--all"]
    bench, runs = words[0], int(words[1]) if len(words) > 1 else 3
    names = ["concat", "lmf", "self_attention"]
    ours, theirs = {}, {n: [] for n in names}
    for _ in range(runs):
        for only in [""] if every else names:
            with tempfile.NamedTemporaryFile(suffix=".json") as file:
                subprocess.run([bench, "--speed", file.name, "--only", only], check=True, env=ENV)
                for name, row in json.load(open(file.name)).items():
                    ours.setdefault(name, []).extend(row["ms"])
        for name in names:
            text = subprocess.run([sys.executable, __file__, "--peer", name], check=True, env=ENV,
                                  stdout=subprocess.PIPE, text=True).stdout
            theirs[name].extend(json.loads(text)["ms"])
    print("| layer | quintet, ms | PyTorch, ms | ratio |\n|---|---|---|---|")
    for name in sorted(ours):
        mine = statistics.median(ours[name])
        other = statistics.median(theirs[name]) if name in theirs else None
        cells = f"{other:.1f} | {other / mine:.2f}" if other else " | "
        print(f"| {name} | {mine:.1f} | {cells} |")


main()
