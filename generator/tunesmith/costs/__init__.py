"""What things cost: prices, total cost, break-even, uncertainty. Pure functions."""
