"""How gradients behave in JAX and in PyTorch: the same weights, the same batch, side by side.

`compare_gradients.py` in the repository's root is the command; `both_sides.compare_gradients`
the function behind it, `table.summary` and `json_and_html.write_report` show what it found.
Only the folder `pytorch` imports torch.
"""
