"""All that touches torch or onnxruntime: from a bundle to the scores of a block."""
