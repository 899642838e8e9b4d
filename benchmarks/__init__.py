"""Side by side with peers: the same data, networks, batches, precision and number of steps, in one run.

``python -m benchmarks`` measures, and writes ``results/benchmarks.json`` and ``book/benchmarks.md``.

``plan`` says what is measured and what must come out, ``rounds`` repeats and keeps it, ``worker`` is the
process in which one contestant runs, ``vae``, ``gan`` and ``scaling`` are the contestants, ``page`` shows it.
"""
