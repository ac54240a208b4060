"""Classifier whose hidden layer is the solution of a differential equation."""

from odeseries.odenet.classifier import ODENetClassifier

__all__ = ["ODENetClassifier"]
