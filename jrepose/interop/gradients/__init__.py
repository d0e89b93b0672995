"""How gradients behave in JAX and in PyTorch: the same weights, the same batch, side by side.

`compare_gradients.py` in the repository's root is the command; `compare.compare_gradients` the
function behind it, `table.summary` and `report.write_report` show what it found.  Only the
folder `pytorch` imports torch.
"""
