"""The network: preparation, tiles, sums of logits, labels, memory."""
