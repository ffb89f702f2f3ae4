"""What a task knows of its surroundings: neighbour lists and densities, fetched and repaired."""
