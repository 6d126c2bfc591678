"""Write the network of a bundle as one file for other programs."""
