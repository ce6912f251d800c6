"""Executing one step: what is decided at the last moment, what is done, and how its failure is explained."""
