"""Evaluates Rampart's versions in your own process, and reports what happened."""

from rampart_client.client import RampartClient
from rampart_client.evaluation import Evaluation, NoSnapshot, UnknownSurface

__all__ = ["Evaluation", "NoSnapshot", "RampartClient", "UnknownSurface"]
