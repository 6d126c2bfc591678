"""`geoseg models import`: a trained network of another library becomes a bundle."""
