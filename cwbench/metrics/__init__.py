"""The metrics, one family a file; each is thin, the mathematics is in `cwbench.ot`.

Let P_y = P(X | Y = y) be the exact posterior and Q_y the model's. With reference samples b of P_y
and model samples a of Q_y, both with shape `(m, n, *x_shape)`, a metric answers observation by
observation with shape `(m,)`; x is flattened. What removes the bias of n samples, and what the
value has to beat (its floor), is the same for all metrics and belongs to the harness.
"""
