"""What a model is worth on a person's own labelled pictures."""
