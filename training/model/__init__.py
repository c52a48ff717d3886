"""The model that learns: weights, LoRA, encoding, packing, checkpoints, export."""
