"""The PyTorch side of the comparison: the only files of the package that import torch.

Import them inside functions, so that the package works without torch.
"""
