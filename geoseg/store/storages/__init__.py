"""Where an output lies: a local folder or a bucket."""
