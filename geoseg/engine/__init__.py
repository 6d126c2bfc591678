"""The scheduler and the executors that run units of work: inline, threads and a Ray cluster."""
