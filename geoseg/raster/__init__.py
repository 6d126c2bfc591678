"""Everything that uses rasterio: describe and read a scene, write a COG, read a class map."""
