"""Files that a flag names, one item a line."""

from __future__ import annotations

from pathlib import Path

from tagwise.base.errors import UsageError


def read_lines(path: str | Path, flag: str) -> list[str]:
    """The lines that hold something, without the spaces around it.

    Args:
        path: UTF-8 text.
        flag: What named the file, for the message.

    Raises:
        UsageError: The file cannot be read as text.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{flag} {path} cannot be read as text: {reason}; give one with an item a line.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
