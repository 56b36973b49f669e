"""The names of activations: what a cfg may say, before anything is known of how they are computed."""

from __future__ import annotations

__all__ = ["ACTIVATIONS", "CHANNEL_ACTIVATIONS", "SYNONYMS"]

#: Darknet's activations of one value. The position of each is its code in kernels, which have a formula for every one.
ACTIVATIONS = (
    "linear", "leaky", "mish", "logistic", "swish", "relu", "relu6", "revleaky", "relie", "ramp", "tanh", "loggy",
    "elu", "selu", "gelu", "plse", "stair", "hardtan", "lhtan", "hard_mish",
)  # fmt: skip

#: Those that look at all channels of a pixel, so they are a step of their own.
CHANNEL_ACTIVATIONS = ("normalize_channels", "normalize_channels_softmax", "normalize_channels_softmax_maxval")

#: What others call activations that Darknet has, in small letters without hyphens.
SYNONYMS = {
    "silu": "swish", "sigmoid": "logistic", "none": "linear", "identity": "linear", "leakyrelu": "leaky",
    "lrelu": "leaky", "rectify": "relu", "hardtanh": "hardtan",
}  # fmt: skip
