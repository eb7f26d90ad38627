"""Numbers in, numbers out: how good, and how sure."""
