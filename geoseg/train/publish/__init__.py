"""What a training leaves: bundle, model card, evaluation, pictures."""
