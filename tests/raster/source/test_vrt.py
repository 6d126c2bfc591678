"""Allowed sources of a VRT; others are refused before GDAL opens it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.raster.bands import select_bands
from geoseg.raster.read import read_window
from geoseg.raster.source.identity import MAX_REQUESTS, identify_all
from geoseg.raster.source.scene import describe
from tests.support.web import Web, serve

Make = Callable[..., Path]
PIXELS = np.random.default_rng(0).integers(1, 250, (1, 64, 64)).astype(np.uint8)
GEO = "<SRS>EPSG:32633</SRS><GeoTransform>500000, 2, 0, 5000000, 0, -2</GeoTransform>"
WMS = (
    '<GDAL_WMS><Service name="TMS"><ServerUrl>{}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service><DataWindow>'
    "<UpperLeftX>0</UpperLeftX><UpperLeftY>1</UpperLeftY><LowerRightX>1</LowerRightX><LowerRightY>0</LowerRightY><SizeX>64</SizeX>"
    "<SizeY>64</SizeY><TileLevel>0</TileLevel></DataWindow><BandsCount>1</BandsCount></GDAL_WMS>"
)


@pytest.fixture
def web(make: Make, tmp_path: Path) -> Iterator[Web]:
    make(PIXELS, "a.tif")
    (tmp_path / "service.xml").write_text("")
    with serve(tmp_path, tmp_path / "requests") as running:
        (tmp_path / "service.xml").write_text(WMS.format(running.url))
        yield running


def write(folder: Path, source: str, *, band: str = "", root: str = "", more: str = "", name: str = "s.vrt") -> Path:
    """A VRT of one band; ``source`` is the XML that names its source."""
    path = folder / name
    path.write_text(
        f'<VRTDataset rasterXSize="64" rasterYSize="64" {root}>{GEO}{more}'
        f'<VRTRasterBand dataType="Byte" band="1" {band}>'
        f"<SimpleSource>{source}<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def named(text: str, relative: int = 0) -> str:
    return f'<SourceFilename relativeToVRT="{relative}">{text}</SourceFilename>'


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ({"source": named("/vsicurl/{url}/a.tif")}, "lies on another machine"),
        ({"source": named("{url}/a.tif")}, "nor a name that geoseg opens"),
        ({"source": named("/vsizip//vsicurl/{url}/a.zip")}, "nor a name that geoseg opens"),
        ({"source": named("vrt://{folder}/a.tif")}, "nor a name that geoseg opens"),
        ({"source": named("<GDAL_WMS/>".replace("<", "&lt;"))}, "nor a name that geoseg opens"),
        ({"source": named("{folder}/service.xml")}, r"service\.xml, which cannot be opened"),
        ({"source": "<sourcefilename>{url}/a.tif</sourcefilename>"}, "nor a name that geoseg opens"),
        ({"source": '<X SourceFilename="{url}/a.tif"/>'}, "in an attribute of X"),
        ({"source": named("<b>{url}</b>")}, "not plain text"),
        ({"source": named("{folder}/a.tif"), "root": 'subClass="VRTProcessedDataset"'}, "uses VRTProcessedDataset"),
        ({"source": named("{folder}/a.tif"), "band": 'subClass="VRTRawRasterBand"'}, "uses VRTRawRasterBand"),
        (
            {
                "source": named("{folder}/a.tif"),
                "more": '<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">{url}/a.tif</MDI></Metadata>',
            },
            "nor a name that geoseg opens",
        ),
        (
            {
                "source": named("{folder}/a.tif"),
                "root": 'subClass="VRTWarpedDataset"',
                "more": "<GDALWarpOptions><SourceDataset>{url}/a.tif</SourceDataset></GDALWarpOptions>",
            },
            "nor a name that geoseg opens",
        ),
    ],
)
def test_forbidden_sources_are_refused_without_a_request(
    web: Web, tmp_path: Path, xml: dict[str, str], message: str
) -> None:
    filled = {key: text.format(url=web.url, folder=tmp_path) for key, text in xml.items()}
    path = write(tmp_path, **filled)
    with pytest.raises(SceneError, match=message) as caught:
        describe(path)
    assert str(path) in str(caught.value)
    assert web.asked == []

    outer = write(tmp_path, named("s.vrt", 1), name="outer.vrt")
    with pytest.raises(SceneError, match=message):
        describe(outer)
    assert web.asked == []


def test_remote_sources_are_read_with_permission(web: Web, tmp_path: Path) -> None:
    path = write(tmp_path, named(f"/vsicurl/{web.url}/a.tif"))
    with pytest.raises(SceneError, match="read unencrypted"):
        describe(path, SceneSettings(remote=True))
    scene = describe(path, SceneSettings(remote=True, allow_private_hosts=True))
    assert scene.remote
    np.testing.assert_array_equal(read_window(scene, select_bands(scene, 1), scene.grid.window)[0], PIXELS)


def test_remote_sources_take_one_request_each_and_run_concurrently(web: Web, tmp_path: Path) -> None:
    count = 2 * MAX_REQUESTS
    folder = f"/vsicurl/{web.url}/together/{MAX_REQUESTS}"
    properties = '<SourceProperties RasterXSize="64" RasterYSize="64" DataType="Byte" BlockXSize="64" BlockYSize="64"/>'
    sources = [f"{named(f'{folder}/a.tif?{i}')}<SourceBand>1</SourceBand>{properties}" for i in range(count)]
    path = write(tmp_path, "</SimpleSource><SimpleSource>".join(sources))
    scene = describe(path, SceneSettings(remote=True, allow_private_hosts=True))
    assert sorted(web.asked) == sorted(f"/together/{MAX_REQUESTS}/a.tif?{i}" for i in range(count))
    assert web.most_at_once == MAX_REQUESTS
    assert identify_all(scene.files) == scene.versions, "the order is that of the files"
    assert {version.size for version in scene.versions[1:]} == {(tmp_path / "a.tif").stat().st_size}


def test_a_raster_inside_a_file_is_a_source_too(make: Make, tmp_path: Path) -> None:
    path = write(tmp_path, named(f"GTIFF_DIR:1:{make(PIXELS)}"))
    scene = describe(path)
    np.testing.assert_array_equal(read_window(scene, select_bands(scene, 1), scene.grid.window)[0], PIXELS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<?xml version="1.0"?><!DOCTYPE v [<!ENTITY a "b">]><VRTDataset/>', "declares XML entities"),
        ("<VRTDataset", "is not a valid VRT"),
        ("<VRTDataset>\udcff</VRTDataset>", "is not a valid VRT"),
    ],
)
def test_odd_xml_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "s.vrt").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(SceneError, match=message):
        describe(tmp_path / "s.vrt")


def test_a_vrt_that_names_itself_is_an_error(tmp_path: Path) -> None:
    scene = describe(write(tmp_path, named("s.vrt", 1)))
    with pytest.raises(SceneError, match="cannot be read"):
        read_window(scene, select_bands(scene, 1), scene.grid.window)
