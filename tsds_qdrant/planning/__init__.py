"""Before a choice is made: what a collection can do, costs, strategies listed and compared."""
