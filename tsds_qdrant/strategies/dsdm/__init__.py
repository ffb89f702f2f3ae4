"""DsDm: the candidates of the smallest target loss, as a datamodel predicts it."""
