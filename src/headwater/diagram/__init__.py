"""The diagram: graph (and what is known of its last run) to neutral copy to layout to svg, dot, mermaid, text, png."""

from __future__ import annotations

from headwater.diagram.draw import FORMATS, draw
from headwater.diagram.picture import LEVELS, node_id
from headwater.diagram.status import NodeStatus

__all__ = ["FORMATS", "LEVELS", "NodeStatus", "draw", "node_id"]
