"""One file a verb: it puts the rooms together and returns a value that can be printed."""
