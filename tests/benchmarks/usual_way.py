"""A typical script: ``python -m tests.benchmarks.usual_way SCENE BUNDLE OUTPUT THREADS``.

The whole scene in memory, MONAI's sliding window, argmax, GDAL's polygons, GeoPandas. It writes polygons alone, not
simplified: no class map, no confidence. Prints the seconds from the first byte read to the file written.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import geopandas as gpd
import numpy as np
import rasterio
import safetensors.torch
import shapely
import torch
from monai.inferers import sliding_window_inference
from rasterio.features import shapes

from geoseg.model.zoo.architectures import build

WINDOWS = 4
"""Patches of a forward pass; of 1, 4, 8 and 16 the fastest."""


def main(scene: str, bundle: str, output: str, threads: str) -> None:
    """Segment a scene with a bundle of geoseg's own U-Net."""
    torch.set_num_threads(int(threads))
    model = json.loads((Path(bundle) / "model.json").read_text())
    network = build("unet", model["geoseg:arguments"])
    network.load_state_dict(safetensors.torch.load_file(Path(bundle) / "weights.safetensors"))
    network.eval()
    (scaling,) = model["geoseg:scaling"]
    classes = model["mlm:output"][0]["classification:classes"]
    patch_px = model["mlm:input"][0]["input"]["shape"][-1]

    started = perf_counter()
    with rasterio.open(scene) as dataset:
        pixels = dataset.read(out_dtype=np.float32)
        valid = dataset.dataset_mask() > 0
        transform, crs = dataset.transform, dataset.crs
    for band in range(len(pixels)):
        pixels[band] -= scaling["mean"][band]
        pixels[band] /= scaling["stddev"][band]
        pixels[band, ~valid] = 0
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(pixels)[None],
            patch_px,
            WINDOWS,
            network,
            model["geoseg:overlap_px"] / patch_px,
            "gaussian",
        )
        found = logits[0].argmax(0).to(torch.uint8).numpy()
    polygons = [
        (shapely.geometry.shape(shape), int(value)) for shape, value in shapes(found, valid, transform=transform)
    ]
    names = {entry["value"]: entry["name"] for entry in classes}
    frame = gpd.GeoDataFrame(
        {"class_id": [value for _, value in polygons], "class_name": [names[value] for _, value in polygons]},
        geometry=[geometry for geometry, _ in polygons],
        crs=crs,
    )
    frame.to_parquet(output)
    print(json.dumps({"seconds": perf_counter() - started, "polygons": len(frame)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
