"""From people's strings to label ids, and from label ids to a training order: the heart, numpy alone."""
