"""A small network from scikit-learn that learns to name examples: two measures here ask what it can learn."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor


def small_network(
    x: Tensor, y: Tensor, *, hidden: int, batch_size: int, passes: int, seed: int
) -> Callable[[Tensor], Tensor]:
    """Train a network with one hidden layer of ReLUs; return the function from (n, d) to labels (n,).

    ``x``: (n, d) and ``y``: (n,), integers, both on the CPU. Adam with a step size of 0.003, at most
    ``passes`` over the data, and a penalty on the squared weights, without which a few hundred examples of
    many features are learned by heart. If all labels are one, the answer is always this one. ``seed`` decides
    on the start and on the order of the batches.
    """
    # A slow import that only these measures need.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        (hidden,),
        alpha=1.0,
        batch_size=min(batch_size, len(x)),
        learning_rate_init=0.003,
        max_iter=passes,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is part of the measure
        network.fit(x.numpy(), y.numpy())
    return lambda new: torch.from_numpy(network.predict(new.numpy()))
