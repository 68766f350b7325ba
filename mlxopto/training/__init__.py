"""Learning a compressor: the loop, its losses, the stream of sequences and the checkpoints."""
