"""What happens to patches between a block and its scores, on the device of the network."""
