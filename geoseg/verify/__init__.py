"""`geoseg validate`: read published results and check them."""
