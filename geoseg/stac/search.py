"""Search a STAC API, with pystac-client of the extra ``stac``."""

import warnings
from collections.abc import Iterator
from typing import Any

from geoseg.config import SceneSettings
from geoseg.errors import SceneError, SettingsError, UnreachableError
from geoseg.mosaic_settings import SearchSettings
from geoseg.raster.source.address import locate
from geoseg.raster.source.env import network_setting
from geoseg.stac.item import Item


def search(wanted: SearchSettings, settings: SceneSettings) -> Iterator[Item]:
    """Yield the Items that a search finds, page by page, in the API's order.

    Every page is requested from a host that scenes may lie on.

    Raises:
        SettingsError: If pystac-client is not installed.
        SceneError: If the API refuses the search or is no STAC API.
        UnreachableError: If it does not answer.
    """
    try:
        from pystac_client import Client  # noqa: PLC0415  an extra
        from pystac_client.exceptions import APIError  # noqa: PLC0415
        from pystac_client.stac_api_io import StacApiIO  # noqa: PLC0415
        from requests import Request, RequestException  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            f"A search of {wanted.search} needs pystac-client: pip install 'geoseg[stac]', where the run is started."
        ) from error
    public: set[str] = set()

    def check(request: Request) -> None:
        remote, private = settings.remote, settings.allow_private_hosts
        locate(str(request.url), remote=remote, allow_private_hosts=private, public=public)

    locate(wanted.search, remote=settings.remote, allow_private_hosts=settings.allow_private_hosts, public=public)
    retries = int(network_setting("GDAL_HTTP_MAX_RETRY"))
    io = StacApiIO(timeout=network_setting("GDAL_HTTP_TIMEOUT"), max_retries=retries, request_modifier=check)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of APIs that state their abilities incompletely
            found = Client.open(wanted.search, stac_io=io).search(**_arguments(wanted))
        for document in found.items_as_dicts():
            yield Item(document, _self_link(document) or wanted.search)
    except APIError as error:
        reason = str(error).partition("\n")[0][:300]
        status = getattr(error, "status_code", None)  # absent where no answer came
        if status is None or status >= 500:
            raise UnreachableError(
                f"{wanted.search} cannot be searched: {reason}. Run the same command again."
            ) from error
        raise SceneError(f"{wanted.search} refuses the search: {reason}. Correct it.") from error
    except RequestException as error:
        raise UnreachableError(f"{wanted.search} does not answer: {error}. Run the same command again.") from error
    except (NotImplementedError, KeyError, TypeError, ValueError) as error:
        raise SceneError(
            f"{wanted.search} is no STAC API that can be searched: {error}. Correct the address."
        ) from error


def _arguments(wanted: SearchSettings) -> dict[str, Any]:
    given = wanted.model_dump(mode="json", exclude={"search"}, exclude_none=True)
    return {"max_items": None, "limit": 100, **given}


def _self_link(document: dict[str, Any]) -> str | None:
    links = document.get("links")
    own = (
        (link for link in links if isinstance(link, dict) and link.get("rel") == "self")
        if isinstance(links, list)
        else ()
    )
    return next((str(link["href"]) for link in own if link.get("href")), None)
