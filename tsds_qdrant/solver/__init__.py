"""The optimal transport problem and its exact solution: numpy alone."""
