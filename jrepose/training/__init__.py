"""Training: state, step, schedule, metric log and the loop that joins them."""
