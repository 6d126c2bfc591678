"""What is known of a model to import: from options, presets and legends."""
