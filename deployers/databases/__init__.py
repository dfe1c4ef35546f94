"""Where instances keep their rows."""
