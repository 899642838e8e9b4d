"""The families beyond VAE and GAN, one file each, with the same ways in: fit, sample, a likelihood."""
