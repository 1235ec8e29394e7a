"""Whether TensorBoard reads the event files of a run as `metrics.jsonl` has the numbers.

    pip install tensorboard
    python benches/peers/tensorboard_reads.py RUN_DIR

Loads every `tensorboard/<label>` of a run directory with EventAccumulator and compares each scalar
with the line of `models/<label>/metrics.jsonl` (as 32-bit numbers, the width of the format).
Prints a line a model; the exit code is 1 when anything differs.
"""
import json
import math
import os
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def as_float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def expected(path):
    """Scalars by tag: lists of (step, value)."""
    scalars = {}
    with open(path) as lines:
        for line in lines:
            epoch = json.loads(line)
            values = {f"valid/{key}": value for key, value in epoch["valid"].items()}
            values["train/loss"] = epoch["loss"]
            values["seconds/train"] = epoch["train_seconds"]
            values["seconds/valid"] = epoch["valid_seconds"]
            for tag, value in values.items():
                scalars.setdefault(tag, []).append((epoch["epoch"], value))
    return scalars


def differences(run, label):
    events = EventAccumulator(os.path.join(run, "tensorboard", label), {"scalars": 0})
    events.Reload()
    found = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    log = os.path.join(run, "models", label, "metrics.jsonl")
    if not os.path.exists(log):  # a model without epochs has one point
        return sum(map(len, found.values())), [t for t, v in found.items() if len(v) != 1]
    wrong = []
    wanted = expected(log)
    for tag in sorted(set(wanted) | set(found)):
        left = [(step, as_float32(value)) for step, value in wanted.get(tag, [])]
        right = found.get(tag, [])
        same = len(left) == len(right) and all(
            a[0] == b[0] and (a[1] == b[1] or math.isnan(a[1]) and math.isnan(b[1]))
            for a, b in zip(left, right)
        )
        if not same:
            wrong.append(tag)
    return sum(map(len, found.values())), wrong


def main():
    run = sys.argv[1]
    failed = False
    for label in sorted(os.listdir(os.path.join(run, "tensorboard"))):
        n, wrong = differences(run, label)
        failed |= bool(wrong) or n == 0
        print(f"{label:<24} {n:5} scalars  {'differ: ' + ', '.join(wrong) if wrong else 'equal'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
