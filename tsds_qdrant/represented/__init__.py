"""What a collection keeps of its representations: marks, manifests, and what was learnt."""
