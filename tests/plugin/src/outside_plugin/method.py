"""Neural posterior estimation with a normalising flow of the zuko library.

    min_theta -E log q_theta(x | y)

The library draws from torch's global generator, which cwbench seeds around `fit` and `sample`.

Automatic Posterior Transformation for Likelihood-Free Inference (Greenberg et al., 2019),
https://arxiv.org/abs/1905.07488
"""

from __future__ import annotations

import torch
import zuko
from torch import nn

from cwbench import Method, MethodInfo
from cwbench.method import tensors_of
from cwbench.training.loop import Trainer
from cwbench.training.networks import Condition


class NeuralPosterior(Method):
    """A coupling flow of standardised x given y."""

    info = MethodInfo(
        name="zuko-npe",
        version=1,
        title="Neural posterior estimation with zuko",
        citation="""@inproceedings{greenberg2019automatic,
  title = {Automatic Posterior Transformation for Likelihood-Free Inference},
  author = {Greenberg, David and Nonnenmacher, Marcel and Macke, Jakob},
  booktitle = {International Conference on Machine Learning},
  year = {2019},
}""",
    )

    def build(self) -> None:
        spec = self.spec
        self.condition = Condition.of(spec)
        self.flow = zuko.flows.MAF(
            spec.x_size, self.condition.size, transforms=2, passes=2, hidden_features=(32, 32)
        )
        self.scale = nn.Module()
        self.scale.register_buffer("mean", torch.zeros(spec.x_size))
        self.scale.register_buffer("deviation", torch.ones(spec.x_size))
        self.modules = nn.ModuleDict(
            {"condition": self.condition, "flow": self.flow, "scale": self.scale}
        ).to(spec.device)

    def fit(self, data, context):
        self.build()
        x, y = tensors_of(data)
        self.condition.fit(y)
        self.scale.mean, self.scale.deviation = x.flatten(1).mean(0), x.flatten(1).std(0)
        self.modules.to(context.device)
        trainer = Trainer(self.flow, context, learning_rate=3e-3)
        context.save({"trainer": trainer})
        for batch_x, batch_y in context.batches():
            u = (batch_x.flatten(1) - self.scale.mean) / self.scale.deviation
            trainer.step(-self.flow(self.condition(batch_y)).log_prob(u).mean())

    @torch.no_grad()
    def sample(self, y, n, generator, nfe=None):
        u = self.flow(self.condition(y.to(self.spec.device))).sample((n,)).movedim(0, 1)
        x = self.scale.mean + self.scale.deviation * u
        return x.cpu().numpy().reshape(len(y), n, *self.spec.x_shape)

    def state_dict(self):
        return self.modules.state_dict()

    def load_state_dict(self, state):
        self.build()
        self.modules.load_state_dict(dict(state))
