"""Given in memory: what a notebook has becomes a pool and a task, and comes back selected."""
