"""What training keeps in memory for backward, by the number of steps, in three ways."""

import matplotlib.pyplot as plt
import torch

import odeseries as ode

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
labels = X[:, 0].gt(0).long()
kept: dict[int, int] = {}


def keep(tensor):
    """Note the memory of a tensor that backward will need."""
    storage = tensor.untyped_storage()
    kept[storage.data_ptr()] = storage.nbytes()
    return tensor


model = ode.ODENetClassifier(hidden=16, solver="rk4", max_epochs=1, random_state=0).fit(
    X.numpy(), labels.numpy()
)
net = model.network_
depths = [4, 16, 64, 256]
for gradient in ("autograd", "checkpoint", "adjoint"):
    sizes = []
    for n_steps in depths:
        net.block.gradient, net.block.options = gradient, {"n_steps": n_steps}
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = torch.nn.functional.cross_entropy(net(X), labels)
        sizes.append(sum(kept.values()) / 1e6)
        net.zero_grad()
        loss.backward()
        norm = sum(float(p.grad.norm() ** 2) for p in net.parameters()) ** 0.5
        print(f"{gradient}, {n_steps} steps: {sizes[-1]:.3f} MB, gradient of norm {norm:.5f}")
    plt.loglog(depths, sizes, "o-", label=gradient)
plt.xlabel("steps of rk4")
plt.ylabel("kept for backward, MB")
plt.legend()
plt.tight_layout()
plt.savefig("memory_flat_in_depth.png", dpi=120)
