"""GradEx: sources by the target loss that a first-order estimate gives without training."""
