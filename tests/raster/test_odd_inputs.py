"""The table of bad and odd inputs: what describing and reading a scene must do with each."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC

from geoseg.config import SceneSettings
from geoseg.errors import SceneError, SettingsError
from geoseg.grid.window import Window
from geoseg.raster.bands import describe_warnings, select_bands
from geoseg.raster.read import read_window
from geoseg.raster.source.env import gdal_env
from geoseg.raster.source.layout import check_layout
from geoseg.raster.source.scene import describe

UTM = Affine(2, 0, 500_000, 0, -2, 5_000_000)
SIZE = 64
PAM_NODATA = '<PAMDataset><PAMRasterBand band="1"><NoDataValue>{}</NoDataValue></PAMRasterBand></PAMDataset>'
Build = Callable[[Path], Path]


def pixels(bands: int = 1, dtype: str = "uint8", size: int = SIZE) -> NDArray[Any]:
    """Noise in 1..99, so that no pixel is 0."""
    return np.random.default_rng(3).integers(1, 100, (bands, size, size)).astype(dtype)


def write(path: Path, data: NDArray[Any], *, colors: tuple[ColorInterp, ...] = (), **profile: Any) -> Path:
    base = {"driver": "GTiff", "crs": "EPSG:32633", "transform": UTM, "photometric": "minisblack"}
    shape = {"count": data.shape[0], "height": data.shape[1], "width": data.shape[2], "dtype": data.dtype}
    settings = {key: value for key, value in (base | shape | profile).items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **settings) as dataset:
            if colors:
                dataset.colorinterp = colors
            dataset.write(data)
    return path


def ungeoreferenced(folder: Path, **profile: Any) -> Path:
    return write(folder / "scene.tif", pixels(), crs=None, transform=None, **profile)


def with_gcps(folder: Path) -> Path:
    corners = [(0, 0), (0, SIZE), (SIZE, 0)]
    gcps = [GroundControlPoint(row=row, col=col, x=15 + col / 1e4, y=45 - row / 1e4) for row, col in corners]
    return write(folder / "scene.tif", pixels(), transform=None, crs="EPSG:4326", gcps=gcps)


def with_rpcs(folder: Path) -> Path:
    path = ungeoreferenced(folder)
    terms = [1.0] + [0.0] * 19
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "r+") as dataset:
            dataset.rpcs = RPC(
                *(0.0, 1.0, 45.0, 1.0, terms, terms, 32.0, 32.0, 15.0, 1.0, terms, terms, 32.0, 32.0), None, None
            )
    return path


def truncated(folder: Path) -> Path:
    path = write(folder / "scene.tif", pixels(size=256), tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    path.write_bytes(path.read_bytes()[:30_000])
    return path


def sparse(folder: Path, **profile: Any) -> Path:
    path = folder / "scene.tif"
    settings = {"driver": "GTiff", "crs": "EPSG:32633", "transform": UTM, "count": 1, "dtype": "uint8"}
    settings |= {"height": 128, "width": 128, "tiled": True, "blockxsize": 64, "blockysize": 64, "sparse_ok": True}
    with rasterio.open(path, "w", **(settings | profile)) as dataset:
        dataset.write(pixels()[0], 1, window=rasterio.windows.Window(0, 0, SIZE, SIZE))
    return path


def paletted(folder: Path) -> Path:
    path = write(folder / "scene.tif", pixels(), photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {value: (value, 0, 0, 255) for value in range(256)})
    return path


def multi_page(folder: Path) -> Path:
    path = write(folder / "scene.tif", pixels())
    return write(path, pixels(size=32), append_subdataset="YES")


def masked(folder: Path, internal: str) -> Path:
    path, mask = folder / "scene.tif", np.zeros((SIZE, SIZE), bool)
    mask[10:20, 5:50] = True
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        write(path, pixels(3))
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(mask)
    return path


def vrt(folder: Path, *bands: str, **sources: NDArray[Any]) -> Path:
    """A VRT of 64 x 64 pixels whose bands are given as XML; ``sources`` are written beside it."""
    for name, data in sources.items():
        write(folder / f"{name}.tif", data)
    geo = f"<SRS>EPSG:32633</SRS><GeoTransform>{', '.join(map(str, UTM.to_gdal()))}</GeoTransform>"
    path = folder / "scene.vrt"
    path.write_text(f'<VRTDataset rasterXSize="64" rasterYSize="64">{geo}{"".join(bands)}</VRTDataset>')
    return path


def vrt_band(number: int, source: str, *, nodata: str = "", width: int = SIZE, dtype: str = "Byte") -> str:
    rect = f'xOff="0" yOff="0" xSize="{width}" ySize="64"'
    return (
        f'<VRTRasterBand dataType="{dtype}" band="{number}">{nodata}<SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source}</SourceFilename><SourceBand>1</SourceBand>'
        f"<SrcRect {rect}/><DstRect {rect}/></SimpleSource></VRTRasterBand>"
    )


def nested_vrt_without_source(folder: Path) -> Path:
    vrt(folder, vrt_band(1, "lost.tif")).rename(folder / "inner.vrt")
    return vrt(folder, vrt_band(1, "inner.vrt"))


def text(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


class Refused(NamedTuple):
    row: int
    build: Build
    message: str


REFUSED = [
    Refused(1, ungeoreferenced, "names no coordinate reference system.*scene.assume_crs"),
    Refused(1, lambda f: write(f / "s.tif", pixels(), transform=None), "has a CRS but no transform"),
    Refused(3, with_gcps, "3 ground control points alone. Rectify it first: gdalwarp -tps"),
    Refused(3, with_rpcs, "RPCs.*Rectify it first: gdalwarp -rpc"),
    Refused(13, lambda f: write(f / "s.tif", pixels(dtype="complex64")), "complex numbers.*complex64"),
    Refused(22, lambda f: text(f, "s.tif", b""), "is empty"),
    Refused(22, lambda f: text(f, "s.tif", b"<html><body>404</body></html>"), "starts with b'<html>.*a web page"),
    Refused(22, lambda f: text(f, "s.tif", b"II*\0\1\2\3\4"), r"cannot be opened as a raster.*starts with b'II\*"),
    Refused(22, lambda f: f, "is a directory"),
    Refused(22, lambda f: f / "missing.tif", "does not exist"),
    Refused(22, lambda f: f / ("x" * 300), "cannot be reached: File name too long"),
    Refused(25, lambda f: vrt(f, vrt_band(1, "lost.tif")), "lacks 1 of its sources: .*lost.tif"),
    Refused(25, nested_vrt_without_source, "lacks 1 of its sources: .*lost.tif"),
    Refused(48, multi_page, r"holds several rasters: GTIFF_DIR:1:.*GTIFF_DIR:2:"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"row{case.row}")
def test_refused(tmp_path: Path, case: Refused) -> None:
    path = case.build(tmp_path)
    with pytest.raises(SceneError, match=f"(?s){case.message}") as raised:
        describe(path)
    assert str(path) in str(raised.value)


class Handled(NamedTuple):
    row: int
    build: Build
    bands: int
    valid: Callable[[NDArray[Any]], NDArray[np.bool_]]
    """What the mask must be, from the pixels (C, H, W)."""
    warning: str = ""
    options: dict[str, Any] = {}  # noqa: RUF012


def everywhere(data: NDArray[Any]) -> NDArray[np.bool_]:
    return np.ones(data.shape[1:], bool)


def inside(rows: slice, cols: slice) -> Callable[[NDArray[Any]], NDArray[np.bool_]]:
    def mask(data: NDArray[Any]) -> NDArray[np.bool_]:
        valid = np.zeros(data.shape[1:], bool)
        valid[rows, cols] = True
        return valid

    return mask


def with_values(folder: Path, dtype: str, *values: float, bands: int = 1, **profile: Any) -> Path:
    """Noise whose first pixels of the first band are ``values``."""
    data = pixels(bands, dtype)
    data[0, 0, : len(values)] = values
    return write(folder / "scene.tif", data, **profile)


def nodata_of_other_type(folder: Path) -> Path:
    """GDAL refuses to write such a file and hides the value when it reads one; older software did neither."""
    path = write(folder / "scene.tif", pixels(), nodata=254)
    path.write_bytes(path.read_bytes().replace(b"254\0", b"-99\0"))
    return path


def nodata_between_integers(folder: Path) -> Path:
    path = write(folder / "scene.tif", pixels())
    text(folder, f"{path.name}.aux.xml", PAM_NODATA.format(0.5).encode())
    return path


def rgba(folder: Path, *, tagged: bool) -> Path:
    data = pixels(4)
    data[3] = 255
    data[3, :10] = 0
    rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return write(folder / "scene.tif", data, colors=(*rgb, ColorInterp.alpha if tagged else ColorInterp.undefined))


def two_nodata(folder: Path) -> Path:
    one, two = pixels(dtype="uint8"), pixels(dtype="uint8")
    one[0, 0, :5], two[0, 0, 3:9] = 0, 255
    tags = ("<NoDataValue>0</NoDataValue>", "<NoDataValue>255</NoDataValue>")
    return vrt(folder, vrt_band(1, "a.tif", nodata=tags[0]), vrt_band(2, "b.tif", nodata=tags[1]), a=one, b=two)


def not_first(count: int, start: int = 0) -> Callable[[NDArray[Any]], NDArray[np.bool_]]:
    def mask(data: NDArray[Any]) -> NDArray[np.bool_]:
        valid = everywhere(data)
        valid[0, start:count] = False
        return valid

    return mask


SPARSE_PART = inside(slice(0, SIZE), slice(0, SIZE))
MASKED_PART = inside(slice(10, 20), slice(5, 50))
BELOW_ALPHA = inside(slice(10, None), slice(None))
NAN, INF = math.nan, math.inf
HANDLED = [
    Handled(4, lambda f: with_values(f, "uint8", 0, 0), 1, everywhere),
    Handled(5, lambda f: with_values(f, "float32", NAN, NAN, nodata=NAN), 1, not_first(2)),
    Handled(6, two_nodata, 2, not_first(9), "nodata differs among bands"),
    Handled(6, two_nodata, 2, not_first(5, 3), "nodata differs among bands", {"nodata_rule": "all"}),
    Handled(7, nodata_of_other_type, 1, everywhere),
    Handled(7, nodata_between_integers, 1, everywhere, "nodata 0.5 of band 1 does not fit uint8"),
    Handled(8, lambda f: rgba(f, tagged=True), 3, BELOW_ALPHA),
    Handled(8, lambda f: rgba(f, tagged=True), 4, everywhere, "tagged alpha but feeds the model"),
    Handled(8, lambda f: rgba(f, tagged=False), 3, BELOW_ALPHA, "", {"mask_band": 4}),
    Handled(9, lambda f: masked(f, "YES"), 3, MASKED_PART),
    Handled(9, lambda f: masked(f, "NO"), 3, MASKED_PART),
    Handled(11, lambda f: write(f / "scene.tif", pixels() % 2, nbits=1), 1, everywhere),
    *(
        Handled(12, lambda f, dtype=dtype: with_values(f, dtype, 100, nodata=100), 1, not_first(1), text)
        for dtype, text in [("int8", ""), ("int16", ""), ("uint16", ""), ("int32", "float32"), ("float64", "float32")]
    ),
    Handled(14, paletted, 1, everywhere),
    Handled(15, lambda f: with_values(f, "uint8", 0, nodata=0, bigtiff="YES"), 1, not_first(1)),
    Handled(16, lambda f: sparse(f, nodata=0), 1, SPARSE_PART),
    Handled(16, lambda f: sparse(f, nodata=255), 1, SPARSE_PART),
    Handled(17, sparse, 1, everywhere, "3 internal tiles are not stored"),
    Handled(19, lambda f: write(f / "scene.tif", pixels(size=1)), 1, everywhere),
    Handled(26, lambda f: vrt(f, vrt_band(1, "a.tif", width=32), a=pixels()), 1, everywhere, "no nodata"),
    Handled(31, lambda f: with_values(f, "float32", NAN, INF, -INF), 1, not_first(3)),
    Handled(43, lambda f: write(f / "scene.tif", pixels(), transform=Affine(2, 0, 5e5, 0, 2, 4e6)), 1, everywhere),
]


@pytest.mark.parametrize("case", HANDLED, ids=lambda case: f"row{case.row}")
def test_handled(tmp_path: Path, case: Handled) -> None:
    scene = describe(case.build(tmp_path))
    selection = select_bands(scene, case.bands, SceneSettings(**case.options))
    data, valid = read_window(scene, selection, scene.grid.window)

    with rasterio.open(scene.path) as dataset:
        np.testing.assert_array_equal(data, dataset.read(list(range(1, case.bands + 1))))
        assert scene.grid.transform == tuple(dataset.transform)[:6]
    np.testing.assert_array_equal(valid, case.valid(data))
    told = describe_warnings(scene, selection)
    assert [text for text in told if case.warning not in text] == []
    assert bool(told) == bool(case.warning)


def test_row1_location_by_settings(tmp_path: Path) -> None:
    path = ungeoreferenced(tmp_path)
    assumed = describe(path, SceneSettings(assume_crs="EPSG:32633"))
    assert "WGS 84 / UTM zone 33N" in assumed.grid.crs
    assert "no transform" in describe_warnings(assumed, select_bands(assumed, 1))[0]

    scene = describe(path, SceneSettings(allow_ungeoreferenced=True))
    assert scene.grid.crs == ""
    data, valid = read_window(scene, select_bands(scene, 1), Window(0, 0, 3, 4))
    np.testing.assert_array_equal(data, pixels()[:, :3, :4])
    assert valid.all()

    with pytest.raises(SettingsError, match=r"scene.assume_crs='EPSG:0' is not a coordinate reference system"):
        describe(path, SceneSettings(assume_crs="EPSG:0"))
    located = write(tmp_path / "located.tif", pixels())
    assert "zone 33N" in describe(located, SceneSettings(assume_crs="EPSG:3857")).grid.crs


def test_row2_rotated_transform_is_copied(tmp_path: Path) -> None:
    transform = Affine(2, 0.5, 5e5, 0.5, -2, 5e6)
    assert describe(write(tmp_path / "s.tif", pixels(), transform=transform)).grid.transform == tuple(transform)[:6]
    flat = Affine(2, 0, 5e5, 2, 0, 5e6)
    with pytest.raises(SceneError, match="georeference that cannot be used"):
        describe(write(tmp_path / "flat.tif", pixels(), transform=flat))


def test_row9_external_mask_is_one_of_the_files(tmp_path: Path) -> None:
    scene = describe(masked(tmp_path, "NO"))
    assert scene.files == (scene.path, scene.path + ".msk")
    found = [(version.name, version.size) for version in scene.versions]
    assert found == [(Path(f).name, Path(f).stat().st_size) for f in scene.files]


@pytest.mark.parametrize(
    ("build", "held"),
    [
        (lambda f: write(f / "s.tif", pixels(3) % 2, nbits=1), "single bits"),
        (lambda f: write(f / "s.tif", pixels(1) % 2, nbits=1), "single bits"),
        (paletted, "indices of a palette"),
    ],
)
def test_rows_11_and_14_are_no_intensities(tmp_path: Path, build: Build, held: str) -> None:
    with pytest.raises(SceneError, match=f"wants 3 bands; .* holds {held}, which are not intensities"):
        select_bands(describe(build(tmp_path)), 3)


def test_row12_mixed_types_share_the_smallest_that_holds_both(tmp_path: Path) -> None:
    one, two = pixels(dtype="uint8"), pixels(dtype="int16") - 50
    path = vrt(tmp_path, vrt_band(1, "a.tif"), vrt_band(2, "b.tif", dtype="Int16"), a=one, b=two)
    scene = describe(path)
    assert scene.dtypes == ("uint8", "int16")
    data, _ = read_window(scene, select_bands(scene, 2), scene.grid.window)
    assert data.dtype == np.int16
    np.testing.assert_array_equal(data, np.concatenate([one, two]))


@pytest.mark.parametrize(("width", "times"), [(20_000, 20), (200_000, 195)])
def test_row18_wide_strips_are_warned_of_and_refused_when_hopeless(tmp_path: Path, width: int, times: int) -> None:
    scene = describe(write(tmp_path / "s.tif", np.zeros((1, 4, width), np.uint8), blockysize=1))
    (text,) = check_layout(scene, force=True)
    assert f"stored in pieces of 1 x {width} pixels" in text
    assert f"decodes {times} times" in text
    assert "gdal_translate -of COG" in text
    if times > 100:
        with pytest.raises(SceneError, match=r"gdal_translate -of COG.* At most 100 times .* scene\.force_layout"):
            check_layout(scene, force=False)
    else:
        assert check_layout(scene, force=False) == [text]


def test_row18_one_giant_strip_is_refused(tmp_path: Path) -> None:
    data = np.ones((1, 12_000, 12_000), np.uint8)
    scene = describe(write(tmp_path / "s.tif", data, blockysize=12_000, compress="deflate"))
    assert scene.absent_blocks == 0
    with pytest.raises(SceneError, match="decodes 137 times"):
        check_layout(scene, force=False)


def test_row23_truncated_file_names_file_and_window(tmp_path: Path) -> None:
    scene = describe(truncated(tmp_path))
    selection = select_bands(scene, 1)
    read_window(scene, selection, Window(0, 0, 64, 64))
    with pytest.raises(
        SceneError, match=r"cannot be read at rows 128:256, columns 64:256: .*truncated or damaged"
    ) as e:
        read_window(scene, selection, Window(128, 64, 128, 192))
    assert scene.path in str(e.value)


def test_row25_vrt_source_lost_after_the_description(tmp_path: Path) -> None:
    scene = describe(vrt(tmp_path, vrt_band(1, "a.tif"), a=pixels()))
    assert str(tmp_path / "a.tif") in scene.files
    (tmp_path / "a.tif").unlink()
    with pytest.raises(SceneError, match="cannot be read at rows 0:64"):
        read_window(scene, select_bands(scene, 1), scene.grid.window)


def test_row27_vrt_runs_no_code(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    code = f"def run(*args, **kwargs):\n    open({str(witness)!r}, 'w')"
    band = vrt_band(1, "a.tif").replace(
        'band="1">',
        'band="1" subClass="VRTDerivedRasterBand"><PixelFunctionType>run</PixelFunctionType>'
        f"<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode><![CDATA[{code}]]>"
        "</PixelFunctionCode>",
    )
    with pytest.raises(SceneError, match=r"contains code that computes pixels, .* gdal_translate --config"):
        describe(vrt(tmp_path, band, a=pixels()))
    assert not witness.exists()


def test_row44_point_rasters_are_shifted_once(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tif", pixels())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    scene = describe(path)
    assert scene.area_or_point == "Point"
    with rasterio.open(path) as dataset:
        assert scene.grid.transform == tuple(dataset.transform)[:6]
    assert describe(write(tmp_path / "area.tif", pixels())).area_or_point == "Area"


def test_row46_stale_overviews_are_never_read(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tif", np.full((1, 512, 512), 200, np.uint8), tiled=True, blockxsize=64, blockysize=64)
    with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    stale = Path(f"{path}.ovr").read_bytes()
    write(path, np.ones((1, 512, 512), np.uint8), tiled=True, blockxsize=64, blockysize=64)
    Path(f"{path}.ovr").write_bytes(stale)
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1)
        assert dataset.read(1, out_shape=(128, 128)).max() == 200
    scene = describe(path)
    assert scene.path + ".ovr" in scene.files
    data, _ = read_window(scene, select_bands(scene, 1), scene.grid.window)
    assert data.max() == 1


def test_row47_sidecars_count_as_files(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tif", pixels())
    Path(f"{path}.aux.xml").write_text(PAM_NODATA.format(7))
    scene = describe(path)
    assert scene.files == (str(path), f"{path}.aux.xml")
    assert scene.nodata == (7,)
    data, valid = read_window(scene, select_bands(scene, 1), scene.grid.window)
    np.testing.assert_array_equal(valid, data[0] != 7)
    assert not valid.all()

    path.with_suffix(".tfw").write_text("9\n0\n0\n-9\n0\n0\n")
    assert describe(path).grid.transform == tuple(UTM)[:6]


def test_row47_world_file_locates(tmp_path: Path) -> None:
    path = ungeoreferenced(tmp_path)
    path.with_suffix(".tfw").write_text("2\n0\n0\n-2\n500001\n4999999\n")
    scene = describe(path, SceneSettings(assume_crs="EPSG:32633"))
    assert scene.grid.transform == tuple(UTM)[:6]
    assert str(path.with_suffix(".tfw")) in scene.files


@pytest.mark.parametrize(
    ("name", "scene_id"),
    [
        ("Straße 北京", "Straße 北京"),
        ("a b", "a b"),
        ("50%20#1?x=2", "50_20_1_x_2"),
        ("line\nbreak", "line_break"),
        ("a.b", "a.b"),
        ("a:b", "a_b"),
        ("n" * 240, "n" * 187 + "-" + "0c441b636731"),
    ],
)
def test_row51_odd_names(tmp_path: Path, name: str, scene_id: str) -> None:
    data = pixels()
    scene = describe(write(tmp_path / f"{name}.tif", data))
    assert scene.scene_id == scene_id
    read, _ = read_window(scene, select_bands(scene, 1), scene.grid.window)
    np.testing.assert_array_equal(read, data)


def test_row62_very_large_sparse_scene(tmp_path: Path) -> None:
    path = sparse(tmp_path, height=200_000, width=200_000, blockxsize=512, blockysize=512, nodata=0)
    scene = describe(path)
    assert scene.grid.window.pixels == 40_000_000_000
    far = Window(199_999 - 10, 199_999 - 20, 11, 21)
    data, valid = read_window(scene, select_bands(scene, 1), far)
    assert data.shape == (1, 11, 21)
    assert not valid.any()


def test_row70_no_file_stays_open(tmp_path: Path) -> None:
    scene = describe(write(tmp_path / "s.tif", pixels()))
    read_window(scene, select_bands(scene, 1), scene.grid.window)
    assert Path(scene.path) not in [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]


def test_scene_replaced_by_another(tmp_path: Path) -> None:
    scene = describe(write(tmp_path / "s.tif", pixels()))
    write(tmp_path / "s.tif", pixels(size=80))
    with pytest.raises(SceneError, match="has changed since the run began"):
        read_window(scene, select_bands(scene, 1), scene.grid.window)


def test_relative_path_travels_as_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "s.tif", pixels())
    monkeypatch.chdir(tmp_path)
    assert describe("s.tif").path == str(tmp_path / "s.tif")


def test_subdataset_named_by_the_error_can_be_read(tmp_path: Path) -> None:
    scene = describe(f"GTIFF_DIR:2:{multi_page(tmp_path)}")
    assert (scene.scene_id, scene.grid.height) == ("scene", 32)


@pytest.mark.parametrize("driver", ["PNG", "JP2OpenJPEG", "HFA"])
def test_other_formats(tmp_path: Path, driver: str) -> None:
    path = tmp_path / "copy"
    with gdal_env():
        rasterio.shutil.copy(write(tmp_path / "s.tif", pixels()), path, driver=driver)
    scene = describe(path)
    assert scene.driver == driver
    data, _ = read_window(scene, select_bands(scene, 1), scene.grid.window)
    assert data.shape == (1, SIZE, SIZE)
