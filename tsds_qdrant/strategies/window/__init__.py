"""BWS: the window of a difficulty that teaches the task best."""
