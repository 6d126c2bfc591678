"""Several sources as one scene: where they lie on its grid, and how pixels are brought to it. Opens no file."""
