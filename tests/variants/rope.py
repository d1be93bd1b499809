"""Rotary rates and the factor on sines and cosines, with the scalings of config.json, written down from their papers' formulas in float64."""
import math

import numpy as np


def random_scaling(rng, size, positions):
    """A value of rope_scaling, or of rope_parameters, for heads of `size`; None: no scaling."""
    kind = rng.choice(["none", "linear", "llama3", "yarn", "longrope", "dynamic"], p=[0.35, 0.1, 0.15, 0.2, 0.15, 0.05])
    factor = float(rng.choice([1.5, 2.0, 8.0, 40.0]))
    if kind == "none":
        return None
    scaling = {"rope_type": str(kind), "factor": factor}
    if kind == "llama3":
        scaling |= {"low_freq_factor": 1.0, "high_freq_factor": float(rng.choice([2.0, 4.0])), "original_max_position_embeddings": 64}
    if kind == "yarn":
        scaling["original_max_position_embeddings"] = int(rng.choice([64, 1024]))
        if rng.random() < 0.3:
            scaling |= {"mscale": 1.0, "mscale_all_dim": 0.5}
        if rng.random() < 0.3:
            scaling |= {"beta_fast": 16.0, "beta_slow": 2.0, "truncate": False}
        if rng.random() < 0.2:
            scaling["attention_factor"] = 0.9
    if kind == "longrope":
        # Sequences are always beyond the first of these contexts and never beyond the second.
        scaling["original_max_position_embeddings"] = int(rng.choice([2, positions]))
        scaling["short_factor"] = [round(float(x), 3) for x in rng.uniform(1, 2, size // 2)]
        scaling["long_factor"] = [round(float(x), 3) for x in rng.uniform(2, 20, size // 2)]
    return scaling


def yarn_weight(factor, weight=1.0):
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1


def yarn(rates, size, theta, scaling):
    """Interpolation (rates / factor) where a pair turns seldom in the original context, extrapolation (rates) where it turns often."""
    def pair_that_turns(times):
        return size * math.log(scaling["original_max_position_embeddings"] / (times * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair_that_turns(scaling.get("beta_fast", 32)), pair_that_turns(scaling.get("beta_slow", 1))
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    if low == high:
        high += 0.001
    part = np.clip((np.arange(size // 2) - low) / (high - low), 0, 1)
    factor = scaling["factor"]
    weight = yarn_weight(factor)
    if "mscale" in scaling:
        weight = yarn_weight(factor, scaling["mscale"]) / yarn_weight(factor, scaling["mscale_all_dim"])
    return rates / factor * part + rates * (1 - part), scaling.get("attention_factor", weight)


def llama3(rates, scaling):
    original, factor, low, high = (scaling[name] for name in ("original_max_position_embeddings", "factor", "low_freq_factor", "high_freq_factor"))
    waves = 2 * math.pi / rates
    part = np.clip((original / waves - low) / (high - low), 0, 1)
    return (1 - part) * rates / factor + part * rates


def rates_and_factor(config, size):
    """[size / 2] rates, and what sines and cosines are multiplied by."""
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    theta = scaling.get("rope_theta") or config.get("rope_theta", 1e4)
    rates = theta ** -(np.arange(0, size, 2) / size)
    kind = scaling.get("rope_type", "default")
    if kind == "linear":
        return rates / scaling["factor"], 1.0
    if kind == "llama3":
        return llama3(rates, scaling), 1.0
    if kind == "yarn":
        return yarn(rates, size, theta, scaling)
    if kind == "longrope":
        original = scaling["original_max_position_embeddings"]
        divisors = scaling["long_factor" if original <= 2 else "short_factor"]
        return rates / np.array(divisors), math.sqrt(1 + math.log(scaling["factor"]) / math.log(original))
    return rates, 1.0
