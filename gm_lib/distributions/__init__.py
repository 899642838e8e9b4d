"""The mathematics of Part I: counting, divergences, Monte Carlo and its errors, gradients, mixtures, PCA."""
