"""Receptive fields: computed from a graph, or measured."""
