"""What several test files use: data to read, models to train, servers to ask, processes to start."""
