"""Before a choice is made: what a collection can do, what a selection costs, methods compared."""
