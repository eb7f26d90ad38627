"""Reports: plain records in, one self-contained page out; the same tables for the terminal."""
