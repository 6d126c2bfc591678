"""Speed of the architectures: ``python -m tests.benchmarks.zoo [NAME ...]`` prints a table in Markdown.

Each forward pass of an architecture follows one of geoseg's own U-Net, so that the ratio of their times holds on a
machine whose speed varies.
"""

import os
import sys
from collections.abc import Sequence
from statistics import median

import torch

from geoseg.model.catalogue import describe_network, describe_speed, forward_pass, list_architectures
from geoseg.model.zoo.architectures import ARCHITECTURES

RUNS = 5
BASELINE = "unet"
HEADING = ("| architecture | parameters | px/s | time of a pixel, unet = 1 |", "|---|---:|---:|---:|")


def main(names: Sequence[str]) -> None:
    """Measure architectures and print the table.

    Args:
        names: Those to measure; none measures all that are installed.
    """
    baseline = forward_pass(ARCHITECTURES[BASELINE])
    baseline()
    rows = []
    for entry in list_architectures(names, measure=False):
        if entry.parameters is None:
            continue
        run = forward_pass(ARCHITECTURES[entry.name])
        run()
        pairs = [(baseline(), run()) for _ in range(RUNS)]
        speed, ratio = 1 / median(own for _, own in pairs), median(own / other for other, own in pairs)
        rows.append(f"| {entry.name} | {entry.parameters / 1e6:.2f} M | {speed:,.0f} | {ratio:.2f} |")
    where = f"Median of {RUNS}; {os.cpu_count()} CPUs, torch {torch.__version__}."
    sys.stdout.write("\n".join([*HEADING, *rows, "", f"{describe_network()} {describe_speed()} {where}", ""]))


if __name__ == "__main__":
    main(sys.argv[1:])
