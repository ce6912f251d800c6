"""What the staged rows of a load do to its table: decided as a whole, of rows alone; knows no step and no run."""

from headwater.ingestion.landing.decide import LoadDecision, decide_load, judged_rejects
from headwater.ingestion.landing.facts import LoadFacts

__all__ = ["LoadDecision", "LoadFacts", "decide_load", "judged_rejects"]
