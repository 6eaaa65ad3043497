"""Ten steps of PyTorch's optimisers on a small network: writes optimisers.csv. Made with torch 2.15.0, numpy 2."""
import torch

torch.set_default_dtype(torch.float64)


def weights(n, salt):
    # Numbers that any language can make again.
    return torch.tensor([((i * 7919 + salt * 104729) % 1000) / 1000 - 0.5 for i in range(n)])


x = weights(8 * 3, 1).reshape(8, 3) * 4
y = torch.tensor([0, 1, 1, 0, 2, 2, 1, 0])
optimisers = {
    "sgd": lambda p, d: torch.optim.SGD(p, 0.1, weight_decay=d),
    "momentum": lambda p, d: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=d),
    "nesterov": lambda p, d: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=d),
    "adam": lambda p, d: torch.optim.Adam(p, 0.01, weight_decay=d),
    "adamw": lambda p, d: torch.optim.AdamW(p, 0.01, weight_decay=d),
    "rmsprop": lambda p, d: torch.optim.RMSprop(p, 0.01, weight_decay=d),
    "rmsprop-momentum": lambda p, d: torch.optim.RMSprop(p, 0.01, momentum=0.9, weight_decay=d),
    "adagrad": lambda p, d: torch.optim.Adagrad(p, 0.1, weight_decay=d),
}
lines = ["optimiser,decay,clip,step,loss,weights"]
for name, make in optimisers.items():
    for decay, clip in [(0.0, 0.0), (0.01, 0.0), (0.0, 0.1)]:
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
        with torch.no_grad():
            for salt, p in enumerate(net.parameters()):
                p.copy_(weights(p.numel(), salt + 2).reshape(p.shape))
        optimiser = make(net.parameters(), decay)
        for step in range(10):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y, label_smoothing=0.1)
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimiser.step()
            if step in (0, 9):
                w = " ".join(repr(v) for p in net.parameters() for v in p.detach().flatten().tolist())
                lines.append(f"{name},{decay},{clip},{step},{loss.item()!r},{w}")
open("optimisers.csv", "w").write("\n".join(lines) + "\n")
