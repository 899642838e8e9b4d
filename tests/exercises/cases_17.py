"""Answers to the exercises of chapter 17: other right ways, and known mistakes with their messages."""

import torch

RIGHT = {}
WRONG = {}
REFUSED = {}


# 17.10, diffusion: what a step costs ---------------------------------------------------------------------


def diffusion_cost(v, snr_t, snr_s):
    return (snr_s - snr_t) / (2 * (1 / v + snr_t))


def diffusion_error(change):
    return lambda v, snr_t, snr_s: 0.5 * (snr_s - snr_t) * change(v, snr_t, snr_s)


RIGHT["17.10"] = [
    diffusion_cost,
    lambda v, t, s: 0.5 * (s - t) * (v - v**2 * t / (1 + v * t)),
]
WRONG["17.10"] = [
    (lambda v, t, s: 2 * diffusion_cost(v, t, s), "the ½ is missing"),
    (diffusion_error(lambda v, t, s: v / (1 + v * s)), "a guess from z_s"),
    (diffusion_error(lambda v, t, s: v), "does not look at z_t"),
    (diffusion_error(lambda v, t, s: 1 / t), "forgets that x is from"),
    (diffusion_error(lambda v, t, s: 1 / (1 + t)), "for v = 1 only"),
    (diffusion_error(lambda v, t, s: 1 / v + t), "is a precision"),
    (lambda v, t, s: -diffusion_cost(v, t, s), "the sign"),
    (lambda v, t, s: diffusion_cost(v**2, t, s), "as a standard deviation"),
    (diffusion_error(lambda v, t, s: (v / (1 + v * t)) ** 2), "no square of it"),
    (diffusion_error(lambda v, t, s: (v / (1 + v * t)) ** 0.5), "squared already"),
    (lambda v, t, s: diffusion_cost(v, t, s) + 1, "the cost of the step"),
    (lambda v, t, s: 0.5 * torch.log((1 + v * s) / (1 + v * t)), "which fits its variance"),
]


# 17.11, diffusion: two bugs of one step ------------------------------------------------------------------


def diffusion_moments(z, guess, snr_t, snr_s):
    """Mean and variance by Bayes' rule: the precisions of z_t's message and of z_s given x."""
    alpha_t, alpha_s = (snr_t / (1 + snr_t)) ** 0.5, (snr_s / (1 + snr_s)) ** 0.5
    on = alpha_t / alpha_s
    var_s = 1 / (1 + snr_s)
    var_on = 1 / (1 + snr_t) - on**2 * var_s
    variance = 1 / (1 / var_s + on**2 / var_on)
    return variance * (alpha_s * guess / var_s + on * z / var_on), variance


def diffusion_by_bayes(z, guess, snr_t, snr_s, noise):
    mean, variance = diffusion_moments(z, guess, snr_t, snr_s)
    return mean + variance**0.5 * noise


def diffusion_broken(unscaled=False, noise_of=lambda new, t, s: (new / (1 + s)) ** 0.5, times=False):
    def answer(z, guess, snr_t, snr_s, noise):
        alpha_t, alpha_s = (snr_t / (1 + snr_t)) ** 0.5, (snr_s / (1 + snr_s)) ** 0.5
        new = 1 - snr_t / snr_s
        held = z if unscaled else z * alpha_t if times else z / alpha_t
        return alpha_s * ((1 - new) * held + new * guess) + noise_of(new, snr_t, snr_s) * noise

    return answer


def diffusion_exchanged(z, guess, snr_t, snr_s, noise):
    alpha_t = (snr_t / (1 + snr_t)) ** 0.5
    return diffusion_by_bayes(guess * alpha_t, z / alpha_t, snr_t, snr_s, noise)


RIGHT["17.11"] = [diffusion_by_bayes, diffusion_broken()]
WRONG["17.11"] = [
    (diffusion_broken(unscaled=True), "z holds α_t x, not x"),
    (diffusion_broken(noise_of=lambda new, t, s: new / (1 + s)), "multiplied with a variance"),
    (diffusion_broken(noise_of=lambda new, t, s: (1 / (1 + s)) ** 0.5), "all the variance of z_s"),
    (diffusion_broken(noise_of=lambda new, t, s: 0.0), "the noise is missing"),
    (diffusion_broken(noise_of=lambda new, t, s: (new / (1 + t)) ** 0.5), "its noise is that of z_t"),
    (diffusion_broken(times=True), "divide"),
    (lambda *given: diffusion_by_bayes(*given) + 1, "z at the level below"),
    (lambda *given: diffusion_by_bayes(*given)[0], "should have shape"),
]


# 17.12, diffusion: two ways down without noise -----------------------------------------------------------


def diffusion_outcome(left_out=0.1, deterministic=0.98):
    return lambda: {"noise left out": left_out, "deterministic": deterministic}


DIFFUSION_RIGHT = {"noise left out": "too narrow", "deterministic": "right"}

RIGHT["17.12"] = [
    (DIFFUSION_RIGHT, diffusion_outcome()),
    ({"deterministic": "right", "noise left out": "too narrow"}, diffusion_outcome(0.3, 1.05)),
]
WRONG["17.12"] = [
    (
        (DIFFUSION_RIGHT | {"noise left out": "right"}, diffusion_outcome()),
        "its noise is what keeps the spread",
    ),
    (
        (DIFFUSION_RIGHT | {"deterministic": "too narrow"}, diffusion_outcome()),
        "keeps the noise that it finds",
    ),
    ((DIFFUSION_RIGHT | {"deterministic": "too wide"}, diffusion_outcome()), "not too wide"),
    (
        ({"noise left out": "too wide", "deterministic": "too narrow"}, diffusion_outcome()),
        'And "deterministic" is right',
    ),
    ((DIFFUSION_RIGHT, diffusion_outcome(left_out=1.0)), "was it changed"),
    ((DIFFUSION_RIGHT, lambda: 1.0), "does not return its two"),
    (({"noise left out": "small", "deterministic": "right"}, diffusion_outcome()), "too narrow"),
]
