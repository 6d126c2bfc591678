"""`geoseg models check --scene`: what it prints and draws, and its messages."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.run.test_real_data import DYNAMIC_WORLD_BANDS, SENTINEL2_L1C, dynamic_world_bundle
from tests.support.bundles import identity_bundle, unet_bundle
from tests.support.cli import CommandLine
from tests.support.onnx_models import linear_onnx
from tests.support.scenes import TRANSFORM, read_band, run, textured, write_scene

CLASSES = 5


@pytest.fixture
def geoseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(monkeypatch, capsys)


def test_shares_and_confidence_are_those_of_a_run(geoseg: CommandLine, tmp_path: Path) -> None:
    # One site, which covers the scene, so that both see the same pixels.
    scene = write_scene(tmp_path / "scene.tif", textured(256, 256), nodata=0)
    bundle = unet_bundle(tmp_path / "bundle", patch_px=64, classes=CLASSES)
    printed = geoseg("models", "check", bundle, "--scene", scene)
    assert printed.code == 0, printed.err
    settings = {"run": {"address": "inline", "precision": "fp32"}, "tiling": {"overlap_px": 0}}
    run(scene, bundle, tmp_path / "out", **settings)
    classes, confidence = (read_band(tmp_path / f"out/rasters/scene/{name}.tif") for name in ("classes", "confidence"))
    known = classes != 255
    assert f"{known.sum():,} pixels at 1 place" in printed.out
    assert f"mean confidence {confidence[known].mean() / 255:.3f}" in printed.out
    rows = dict(re.findall(r"(class\d) +([\d.]+%)", printed.out))
    expected = np.bincount(classes[known], minlength=CLASSES) / known.sum()
    assert rows == {f"class{index}": f"{share:.1%}" for index, share in enumerate(expected)}


def test_the_picture_shows_classes_in_their_colours(geoseg: CommandLine, tmp_path: Path) -> None:
    pixels = np.repeat(np.repeat(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), 128, 1), 128, 2)
    scene = write_scene(tmp_path / "scene.tif", pixels)
    printed = geoseg(
        "models", "check", identity_bundle(tmp_path / "b", 4), "--scene", scene, "--output", "folder/p.PNG"
    )
    assert printed.code == 0, printed.err
    assert "picture: folder/p.PNG" in printed.out
    picture = np.asarray(Image.open("folder/p.PNG").convert("RGB"))
    counts = {}
    for color in ("3A7BD5", "1E6B2E", "E8C34A", "8BC34A"):
        counts[color] = int((picture == list(bytes.fromhex(color))).all(2).sum())
    assert min(counts.values()) > 5000
    assert max(counts.values()) < 1.3 * min(counts.values()), counts


def test_the_same_scene_gives_the_same_picture(geoseg: CommandLine, tmp_path: Path) -> None:
    scene, bundle = write_scene(tmp_path / "scene.tif", textured(90, 70)), unet_bundle(tmp_path / "bundle")
    for name in ("a.png", "b.png"):
        assert geoseg("models", "check", bundle, "--scene", scene, "--output", name).code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (20, 31)])
def test_a_scene_smaller_than_a_patch_works(geoseg: CommandLine, tmp_path: Path, shape: tuple[int, int]) -> None:
    scene = write_scene(tmp_path / "scene.tif", textured(*shape) + 1)
    printed = geoseg("models", "check", unet_bundle(tmp_path / "bundle", patch_px=256), "--scene", scene)
    assert printed.code == 0, printed.err
    assert Path("scene-check.png").exists()


def test_names_that_look_like_markup_or_formulas_are_shown(geoseg: CommandLine, tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path / "bundle", classes=["$x^", "[red]a[/red]", "c"])
    printed = geoseg("models", "check", bundle, "--scene", write_scene(tmp_path / "a$b.tif", textured(64, 64)))
    assert printed.code == 0, printed.err
    assert "[red]a[/red]" in printed.out
    assert Path("a$b-check.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--scene", "absent.tif"], "absent.tif"),
        (["--scene", "rgb.tif"], "The model wants 4 bands"),
        (["--scene", "many.tif"], "--set scene.bands="),
        (["--scene", "many.tif", "--set", "scene.bands=1,2,3,9"], "Band 9 does not exist"),
        (["--scene", "scene.tif", "--set", "scene.nodata=5"], "scene.tif: no pixel is valid: "),
        (["--scene", "scene.tif", "--set", "tiling.patch_px=64"], "is not a setting of the scene"),
        (["--scene", "scene.tif", "--output", "scene.tif"], "give it a name that ends in .png"),
        (["--scene", "scene.tif", "--output", "scene.tif/a.png"], "cannot be written"),
        (["--output", "a.png"], "Give --scene too"),
        (["--set", "scene.nodata=5"], "Give --scene too"),
        (["--scene", "torn.tif"], "truncated or damaged"),
    ],
)
def test_one_message(geoseg: CommandLine, tmp_path: Path, words: list[str], says: str) -> None:
    bundle = unet_bundle(tmp_path / "bundle", bands=4)
    write_scene(tmp_path / "scene.tif", np.full((4, 64, 64), 5, np.uint16))
    write_scene(tmp_path / "rgb.tif", textured(64, 64, bands=3))
    write_scene(tmp_path / "many.tif", textured(64, 64, bands=6))
    whole = write_scene(tmp_path / "torn.tif", textured(64, 64), compress="deflate").read_bytes()
    (tmp_path / "torn.tif").write_bytes(whole[: len(whole) // 2])
    printed = geoseg("models", "check", bundle, *words)
    assert printed.code != 0
    assert says in printed.err, printed.err
    assert printed.err.count("error:") == 1
    assert not list(tmp_path.glob("*.png"))


def test_logits_that_are_not_finite_are_an_error(geoseg: CommandLine, tmp_path: Path) -> None:
    bundle = linear_onnx(
        tmp_path / "bundle", np.eye(4), scaling=[{"type": "affine", "offset": -20_000}, {"type": "log1p"}]
    )
    scene = write_scene(tmp_path / "scene.tif", textured(64, 64), nodata=0)
    printed = geoseg("models", "check", bundle, "--scene", scene)
    assert printed.code != 0
    assert "not finite" in printed.err or "log1p" in printed.err


def test_only_the_area_of_interest_counts(geoseg: CommandLine, tmp_path: Path) -> None:
    pixels = np.zeros((1, 600, 600), np.uint8)
    pixels[0, :100, 300:400] = 1
    scene, bundle = write_scene(tmp_path / "scene.tif", pixels), identity_bundle(tmp_path / "bundle", 3)
    x, y = TRANSFORM @ (300, 0)
    box = f"{x},{y - 2000},{x + 1000},{y}"  # 100 x 200 pixels of 10 m
    words = ["models", "check", bundle, "--scene", scene]
    printed = geoseg(*words, "--set", f"scene.aoi={box}", "--set", "scene.aoi_crs=EPSG:32632")
    assert printed.code == 0, printed.err
    assert "20,000 pixels at 1 place" in printed.out
    assert dict(re.findall(r"(class\d) +([\d.]+%)", printed.out)) == {
        "class0": "50.0%",
        "class1": "50.0%",
        "class2": "0.0%",
    }
    printed = geoseg(*words, "--set", "scene.aoi=0,0,1,1")
    assert printed.code != 0
    assert "does not touch the scene" in printed.err


@pytest.mark.slow
@pytest.mark.data
def test_no_warning_for_real_models_on_the_scenes_for_which_they_were_made(
    geoseg: CommandLine, data: Path, tmp_path: Path
) -> None:
    bands = ",".join(str(SENTINEL2_L1C.index(name) + 1) for name in DYNAMIC_WORLD_BANDS)
    bundle = dynamic_world_bundle(data, tmp_path / "dynamicworld")
    words = ["models", "check", bundle, "--scene", data / "sen1floods_S2_13band.tif", "--set"]
    printed = geoseg(*words, f"scene.bands={bands}")
    assert printed.code == 0, printed.err
    assert "warning" not in printed.out


@pytest.mark.slow
@pytest.mark.data
def test_no_finding_for_the_demo_network_on_real_scenes_in_its_unit(geoseg: CommandLine, data: Path) -> None:
    bundle = Path(__file__).parents[2] / "geoseg" / "demo" / "bundle"
    for name, bands in (
        ("ftw_s2_8band_u16", "3,2,1,4"),
        ("ftw_s2_8band_u16", "7,6,5,8"),
        ("sen1floods_S2_13band", "2,3,4,8"),
    ):
        printed = geoseg("models", "check", bundle, "--scene", data / f"{name}.tif", "--set", f"scene.bands={bands}")
        assert printed.code == 0, printed.err
        assert "warning" not in printed.out, printed.out
