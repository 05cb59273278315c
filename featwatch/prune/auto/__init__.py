"""What `AutoPrune` decides by: the guard, the pace, the account of what has gone, and what is chosen within the limits."""
