"""gm_lib: the models that the course *Generative Models: from Distributions to GANs* derives, tested.

Import the part you need, for example ``from gm_lib.data import images`` or ``from gm_lib.vae import VAE``.
"""

__version__ = "0.2.0.dev1"
