"""How class maps and polygons look in QGIS, GeoServer and web maps: the colours and names of a legend."""
