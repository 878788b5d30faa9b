"""Muon for matrices (a convolution counts as one), AdamW for the rest.

Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks". The size of an update is matched to that of
Adam, so that one learning rate serves both.
"""

import torch


def orthogonalized(gradients: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """Newton-Schulz on a batch of matrices (n, rows, columns), in bf16."""
    x = gradients.bfloat16()
    tall = x.size(1) > x.size(2)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        a = x @ x.mT
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).float()


class Muon:
    """`named`: parameters as `named_parameters()` gives them. `adam`: more of them with a factor for the learning rate,
    which AdamW trains whatever their shape. `pool`: an executor that shares the matrices among threads."""

    NOT_MATRICES = ("conv_in", "conv_out", "embedding", "heads", "logit")

    def __init__(self, named, learning_rate, weight_decay=0.01, betas=(0.9, 0.99), adam=()):
        by_shape, rest = {}, []
        for name, p in named:
            if p.ndim >= 2 and not any(word in name for word in self.NOT_MATRICES):
                by_shape.setdefault((p.shape[0], p.numel() // p.shape[0]), []).append(p)
            else:
                rest.append(p)
        self.matrices = by_shape
        self.learning_rate, self.weight_decay, self.pool = learning_rate, weight_decay, None
        self.momentum = {shape: torch.zeros(len(ps), *shape, device=ps[0].device) for shape, ps in by_shape.items()}
        groups = [{"params": rest, "factor": 1.0}] if rest else []
        groups += [{"params": list(ps), "factor": factor} for ps, factor in adam]
        self.adam = torch.optim.AdamW(groups, learning_rate, betas=betas, weight_decay=weight_decay, fused=True)

    def state_dict(self):
        return {"momentum": self.momentum, "adam": self.adam.state_dict()}

    def load_state_dict(self, state):
        for shape, buffer in self.momentum.items():
            buffer.copy_(state["momentum"][shape])
        self.adam.load_state_dict(state["adam"])

    def zero_grad(self):
        self.adam.zero_grad()
        for ps in self.matrices.values():
            for p in ps:
                p.grad = None

    def step(self, scale: float = 1.0):
        for group in self.adam.param_groups:
            group["lr"] = self.learning_rate * scale * group["factor"]
        self.adam.step()
        largest_first = sorted(self.matrices.items(), key=lambda item: -len(item[1]) * item[0][0] * item[0][1])
        run = self.pool.map if self.pool else map
        list(run(lambda item: self._update(*item, scale), largest_first))

    @torch.no_grad()
    def _update(self, shape, ps, scale):
        gradients = torch.stack([p.grad.reshape(shape) for p in ps])
        momentum = self.momentum[shape].mul_(0.95).add_(gradients, alpha=0.05)
        nesterov = gradients.mul(0.05).add_(momentum, alpha=0.95)
        update = orthogonalized(nesterov) * (0.2 * max(shape) ** 0.5 * self.learning_rate * scale)
        for p, u in zip(ps, update):
            p.mul_(1 - self.learning_rate * scale * self.weight_decay).sub_(u.view(p.shape))
