import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import geoseg.demo
from geoseg.demo.landscape import BANDS, DEMO_SEED, LEGEND, landscape, write_landscape
from geoseg.demo.train import TRAINING_SEEDS, VALIDATION_SEED, Scaling, evaluate
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.model.zoo.unet import UNet

SHAPE = (90, 70)
BUNDLE = Path(geoseg.demo.__file__).parent / "bundle"


@pytest.fixture(scope="module")
def scene():
    return landscape(Window(0, 0, 2048, 2048), shape=(2048, 2048), seed=DEMO_SEED)


@st.composite
def windows(draw):
    row, col = draw(st.integers(0, SHAPE[0] - 1)), draw(st.integers(0, SHAPE[1] - 1))
    return Window(row, col, draw(st.integers(1, SHAPE[0] - row)), draw(st.integers(1, SHAPE[1] - col)))


@settings(max_examples=50)
@given(window=windows(), seed=st.sampled_from([0, 7, 2**31]))
def test_a_window_is_that_window_of_the_whole(window, seed):
    pixels, truth = landscape(window, shape=SHAPE, seed=seed)
    all_pixels, all_truth = landscape(Window(0, 0, *SHAPE), shape=SHAPE, seed=seed)
    at = window.slices(Window(0, 0, *SHAPE))
    np.testing.assert_array_equal(pixels, all_pixels[(slice(None), *at)])
    np.testing.assert_array_equal(truth, all_truth[at])


def test_windows_of_a_large_scene_are_those_of_the_whole(scene):
    pixels, truth = scene
    for window in (Window(1003, 517, 61, 83), Window(1800, 700, 40, 300), Window(0, 0, 300, 300)):
        again = landscape(window, shape=(2048, 2048), seed=DEMO_SEED)
        at = window.slices(Window(0, 0, 2048, 2048))
        np.testing.assert_array_equal(again[0], pixels[(slice(None), *at)])
        np.testing.assert_array_equal(again[1], truth[at])


def test_the_seed_decides():
    first, again, other = (landscape(Window(0, 0, *SHAPE), shape=SHAPE, seed=seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="must be 0 or more, got -1"):
        landscape(Window(0, 0, 2, 2), shape=SHAPE, seed=-1)


def test_nodata_is_zero_in_all_bands_and_valid_pixels_are_zero_in_none(scene):
    pixels, truth = scene
    np.testing.assert_array_equal((pixels == 0).all(axis=0), truth == NODATA_CLASS)
    np.testing.assert_array_equal((pixels == 0).any(axis=0), truth == NODATA_CLASS)


def test_all_classes_and_nodata_occur(scene):
    share = np.bincount(scene[1].ravel(), minlength=256) / scene[1].size
    assert 0.1 < share[NODATA_CLASS] < 0.3
    assert (share[: len(LEGEND)] > 0.01).all()
    assert share[: len(LEGEND)].sum() + share[NODATA_CLASS] == pytest.approx(1)


@pytest.mark.parametrize("shape", [(1, 1), (300, 40), (40, 300)])
def test_the_collar_follows_the_shape(shape):
    _, truth = landscape(Window(0, 0, *shape), shape=shape, seed=5)
    if shape != (1, 1):
        assert 0.1 < (truth == NODATA_CLASS).mean() < 0.3
    np.testing.assert_array_equal(truth == NODATA_CLASS, np.rot90(truth == NODATA_CLASS, 2))


def test_few_pixels_differ_from_all_their_neighbours(scene):
    truth = scene[1]
    core = truth[1:-1, 1:-1]
    alone = (
        (core != truth[:-2, 1:-1]) & (core != truth[2:, 1:-1]) & (core != truth[1:-1, :-2]) & (core != truth[1:-1, 2:])
    )
    assert alone.mean() < 2e-4


def test_written_files_hold_pixels_and_metadata(tmp_path):
    write_landscape(tmp_path / "scene.tif", tmp_path / "truth.tif", size=(600, 530), seed=11)
    pixels, classes = landscape(Window(0, 0, 600, 530), shape=(600, 530), seed=11)
    with rasterio.open(tmp_path / "scene.tif") as scene, rasterio.open(tmp_path / "truth.tif") as truth:
        assert scene.descriptions == BANDS
        assert (scene.dtypes, scene.nodata) == (("uint16",) * 4, 0)
        assert (truth.dtypes, truth.nodata) == (("uint8",), 255)
        assert truth.colormap(1)[1][:3] == LEGEND.classes[1].color
        for file in (scene, truth):
            assert (file.crs.to_epsg(), file.res, file.shape) == (32632, (10.0, 10.0), (600, 530))
            assert set(file.block_shapes) == {(512, 512)}
            assert file.compression == rasterio.enums.Compression.zstd
        np.testing.assert_array_equal(scene.read(), pixels)
        np.testing.assert_array_equal(truth.read(1), classes)


def test_the_bundled_model_is_small_and_accurate_on_an_unseen_landscape():
    files = [BUNDLE / "model.json", BUNDLE / "weights.safetensors"]
    assert sum(file.stat().st_size for file in files) < 1_000_000
    description = json.loads(files[0].read_text())
    model = UNet(**description["geoseg:arguments"])
    model.load_state_dict(load_file(files[1]), strict=True)
    assert description["mlm:total_parameters"] == sum(value.numel() for value in model.parameters())
    assert description["mlm:input"][0]["bands"] == list(BANDS)
    named = [entry["name"] for entry in description["mlm:output"][0]["classification:classes"]]
    assert named == list(LEGEND.names)

    seed = 31
    assert seed not in {*TRAINING_SEEDS, VALIDATION_SEED, DEMO_SEED}
    scene = landscape(Window(700, 700, 512, 512), shape=(2048, 2048), seed=seed)
    (step,) = description["geoseg:scaling"]
    assert step["type"] == "z-score"
    metrics = evaluate(model.eval(), scene, Scaling(np.array(step["mean"]), np.array(step["stddev"])))
    assert metrics.pixel_accuracy > 0.8


def test_training_validation_and_demo_share_no_landscape():
    assert DEMO_SEED not in TRAINING_SEEDS
    assert VALIDATION_SEED not in (*TRAINING_SEEDS, DEMO_SEED)
