"""Time of a run to recover from failures in its cluster: ``python -m tests.benchmarks.recovery``.

Prints a Markdown table. Not among the other benchmarks: it measures Ray's patience, not geoseg's speed.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.bundles import unet_bundle
from tests.support.disasters import DISASTERS, Strike, freeze_node, survive
from tests.support.nodes import cluster_of
from tests.support.scenes import digests, run, textured, write_scene

CPU = {"num_cpus": 1}
TILING = {"block_px": 48}


def main() -> int:
    """Measure each disaster once, on a cluster of three nodes; 1 if a byte differs."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        scene, bundle = write_scene(folder / "scene.tif", textured(500, 640), nodata=0), unet_bundle(folder / "bundle")
        run(scene, bundle, folder / "whole", tiling=TILING)
        with cluster_of(CPU, CPU, CPU) as cluster:
            alone = run(scene, bundle, folder / "alone", run={"address": cluster.address}, tiling=TILING)
        print("| what happens | units lost | first done again | last done again | run longer by | same bytes |")
        print("|---|---|---|---|---|---|")
        print(f"| nothing ({alone.seconds:.0f} s) | 0 | | | | yes |", flush=True)
        same = True
        cases: list[tuple[str, Strike, dict[str, int] | None]] = [(what, do, None) for what, do in DISASTERS.items()]
        for number, (what, strike, health) in enumerate([*cases, ("a node freezes, Ray as it is", freeze_node, {})]):
            output = folder / f"out{number}"
            with cluster_of(CPU, CPU, CPU, health=health) as cluster:
                found = survive(cluster, strike, scene, bundle, output)
            same_here = digests(output) == digests(folder / "whole")
            same &= same_here
            again = " | ".join("" if s is None else f"{s:.1f} s" for s in (found.first_s, found.last_s))
            longer_s, retries = found.report.seconds - alone.seconds, found.report.retries
            print(f"| {what} | {retries} | {again} | {longer_s:.1f} s | {'yes' if same_here else 'NO'} |", flush=True)
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
