"""Planning one step: what it does, whether it runs, and why. Pure, like the plan."""
