"""What times code: the engine, the GPU, other engines beside ours."""
