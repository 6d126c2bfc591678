"""Read published results back and certify them."""
