"""Samplers that know the operator: a prior's denoiser, guided by y."""
