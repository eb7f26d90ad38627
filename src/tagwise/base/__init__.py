"""What every room stands on: errors, files, random streams, settings, views, progress."""
