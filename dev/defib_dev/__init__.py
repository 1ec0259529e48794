"""The local stack, the simulators and the benchmarks."""
