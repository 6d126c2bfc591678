"""Compare predictions with labels: pixels with pixels, polygons with polygons."""
