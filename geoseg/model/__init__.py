"""Everything that uses torch or onnxruntime: from a bundle to the scores of a block."""
