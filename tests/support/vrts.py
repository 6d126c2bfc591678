"""VRTs for tests: warped ones by rasterio, the others as XML."""

from pathlib import Path

import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT


def warp(path: Path, source: Path, resampling: str, crs: str = "EPSG:32633") -> Path:
    """Write the VRT of a raster warped to another CRS, like ``gdalwarp -of VRT``."""
    with rasterio.open(source) as dataset, WarpedVRT(dataset, crs=crs, resampling=Resampling[resampling]) as warped:
        rasterio.shutil.copy(warped, path, driver="VRT")
    return path


def write_vrt(
    path: Path,
    source: Path,
    *,
    kind: str = "SimpleSource",
    resampling: str = "nearest",
    size: tuple[int, int] | None = None,
    place: tuple[float, float] = (0, 0),
    more: str = "",
    band: str = "",
    function: str = "",
) -> Path:
    """Write the VRT of a raster's bands.

    Args:
        path: Where to.
        source: The raster.
        kind: Element of the sources.
        resampling: Their attribute.
        size: Height and width of the VRT, to which the raster is resampled; its own by default.
        place: Row and column of the raster's first pixel in the VRT.
        more: Elements that each source holds as well.
        band: Attributes of each band.
        function: Elements of each band before its source.
    """
    with rasterio.open(source) as dataset:
        height, width, count, dtype = dataset.height, dataset.width, dataset.count, dataset.dtypes[0]
        crs, transform, nodata = dataset.crs.to_string(), dataset.transform, dataset.nodata
    rows, cols = size or (height, width)
    transform *= transform.scale(width / cols, height / rows)
    name = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32"}[dtype]
    bands = "".join(
        f'<VRTRasterBand dataType="{name}" band="{index}" {band}>'
        f"{'' if nodata is None else f'<NoDataValue>{nodata}</NoDataValue>'}{function}"
        f'<{kind} resampling="{resampling}"><SourceFilename>{source}</SourceFilename><SourceBand>{index}</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
        f'<DstRect xOff="{place[1]}" yOff="{place[0]}" xSize="{cols}" ySize="{rows}"/>{more}</{kind}></VRTRasterBand>'
        for index in range(1, count + 1)
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{cols}" rasterYSize="{rows}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{', '.join(map(str, transform.to_gdal()))}</GeoTransform>{bands}</VRTDataset>"
    )
    return path


def kernel(size: int = 5) -> str:
    """The kernel of a KernelFilteredSource, another weight for each pixel."""
    weights = " ".join(f"{index / 100:.2f}" for index in range(1, size * size + 1))
    return f'<Kernel normalized="1"><Size>{size}</Size><Coefs>{weights}</Coefs></Kernel>'
