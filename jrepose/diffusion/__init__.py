"""Diffusion of poses: levels of noise, mixtures that the noise is drawn from, ways back.

Pure functions of arrays; networks are handed in as functions.
"""
