"""`geoseg models check --scene`: a bundle on some pixels of a scene, before a run of all of them."""
