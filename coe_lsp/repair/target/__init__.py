"""What is to be repaired: the source, its tests as they are, the suspect functions."""
