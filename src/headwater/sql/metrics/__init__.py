"""Questions about metrics become one SELECT in which no row is counted twice."""
