"""Graph to layout to svg, dot, mermaid, text and png."""
