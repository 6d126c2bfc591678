"""All that touches rasterio: describe and read a scene, write a COG, polygonize a class map."""
