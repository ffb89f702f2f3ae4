"""DsDm: the candidates of the smallest predicted target loss, by a datamodel that TRAK estimates."""
