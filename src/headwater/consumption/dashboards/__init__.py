"""A Markdown file with queries and charts becomes one HTML file."""
