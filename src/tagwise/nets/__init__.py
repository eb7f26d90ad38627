"""The residual family: designs by name, nets, published weights, costs."""

from __future__ import annotations

from tagwise.nets.cost import Macs, count_macs, count_parameters
from tagwise.nets.create import create_model, resolve_data_config
from tagwise.nets.design import Attention, Design
from tagwise.nets.designs import find_design, list_models
from tagwise.nets.grammar import FeatureNet, ResidualNet, build
from tagwise.nets.norms import freeze, freeze_norms, synchronise_norms
from tagwise.nets.weights import Weights, find_weights, load_weights

__all__ = [
    "Attention",
    "Design",
    "FeatureNet",
    "Macs",
    "ResidualNet",
    "Weights",
    "build",
    "count_macs",
    "count_parameters",
    "create_model",
    "find_design",
    "find_weights",
    "freeze",
    "freeze_norms",
    "list_models",
    "load_weights",
    "resolve_data_config",
    "synchronise_norms",
]
