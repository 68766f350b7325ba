"""How native code is made on the CPU: the compiler and its cache, vectors, arithmetic, worker threads."""
