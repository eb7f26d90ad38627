"""Models for other hands: files that other programs run, and the check that they say the same there."""
