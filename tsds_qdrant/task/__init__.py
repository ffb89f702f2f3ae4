"""What is wanted: task examples, from records, vectors or collections."""
