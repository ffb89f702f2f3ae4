"""Training files: what payloads show, the forms trainers read, and a split that leaks nothing."""
