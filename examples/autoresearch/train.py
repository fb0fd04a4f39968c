"""Train a byte-level language model in NumPy for a few seconds. This is the file to edit.

``python train.py`` trains and writes model.npz; ``python train.py predict`` is how evaluate.py
asks the model (see `predict`). There is only NumPy, and one core: matrices as small as these gain
nothing from two.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is loaded

import numpy as np
from prepare import STEP_BUDGET, TIME_BUDGET, training_text

# Model: the last CONTEXT bytes -> their embeddings -> DEPTH blocks -> logits of the next byte
CONTEXT = 16
EMBED = 16
HIDDEN = 64
EXPANSION = 2  # width of a block's inside, in times of HIDDEN
DEPTH = 2
# "relu", "gelu", "relu2" or "swiglu"
ACTIVATION = "relu"
# "none", "layernorm" or "rmsnorm"
NORM = "none"
RESIDUAL = False
TIE_EMBEDDINGS = False  # the head shares the embeddings
INIT_SCALE = 1.0
# Logits stay within +-SOFTCAP; 0 turns it off
SOFTCAP = 0.0

# Optimisation. "sgd", "momentum", "adamw" or "muon"
OPTIMIZER = "sgd"
LEARNING_RATE = {"sgd": 0.2, "momentum": 0.05, "adamw": 0.003, "muon": 0.02}
LR_SCALE = 1.0
# "constant", "cosine" or "warmdown"
SCHEDULE = "warmdown"
WARMUP_RATIO = 0.0  # share of the budget in which the rate rises
WARMDOWN_RATIO = 0.4  # share of the budget in which it falls to zero, with "warmdown"
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.0
BATCH = 128
Z_LOSS = 0.0

MODEL_FILE = "model.npz"
Array = np.ndarray
Pull = Callable[[Array], Array]


# Reverse-mode differentiation, just enough of it


class Tensor:
    """An array, what it was made from, and how a gradient flows back to each of those."""

    def __init__(self, data: Array, parents: tuple[tuple[Tensor, Pull], ...] = ()) -> None:
        self.data = data
        self.parents = parents
        self.grad: Array | None = None

    def map(self, data: Array, slope: Array) -> Tensor:
        """`data`: a function of this, entry by entry, whose derivative here is `slope`."""
        return Tensor(data, ((self, lambda grad: grad * slope),))

    def __add__(self, other: Tensor) -> Tensor:
        same: Pull = lambda grad: grad  # noqa: E731
        return Tensor(self.data + other.data, ((self, same), (other, same)))

    def __mul__(self, other: Tensor) -> Tensor:
        left: Pull = lambda grad: grad * other.data  # noqa: E731
        right: Pull = lambda grad: grad * self.data  # noqa: E731
        return Tensor(self.data * other.data, ((self, left), (other, right)))

    def __matmul__(self, other: Tensor) -> Tensor:
        left: Pull = lambda grad: grad @ other.data.T  # noqa: E731
        right: Pull = lambda grad: self.data.T @ grad  # noqa: E731
        return Tensor(self.data @ other.data, ((self, left), (other, right)))

    def t(self) -> Tensor:
        return Tensor(self.data.T, ((self, lambda grad: grad.T),))

    def backward(self, grad: Array) -> None:
        """Add the gradient of a loss to every tensor that this one was made from."""
        self.grad = grad
        for tensor in reversed(list(lineage(self, set()))):
            for parent, pull in tensor.parents:
                share = pull(tensor.grad)
                parent.grad = share if parent.grad is None else parent.grad + share


def lineage(tensor: Tensor, seen: set[int]) -> Iterator[Tensor]:
    """What a tensor was made from, each after its own ancestors, and then the tensor."""
    if id(tensor) not in seen:
        seen.add(id(tensor))
        for parent, _ in tensor.parents:
            yield from lineage(parent, seen)
        yield tensor


# Parts of the model


def embed(table: Tensor, contexts: Array) -> Tensor:
    """Rows of `table` for the bytes of each context, side by side: (batch, CONTEXT * EMBED)."""

    def pull(grad: Array) -> Array:
        total = np.zeros_like(table.data)
        np.add.at(total, contexts.ravel(), grad.reshape(contexts.size, -1))
        return total

    return Tensor(table.data[contexts].reshape(len(contexts), -1), ((table, pull),))


def relu(x: Tensor) -> Tensor:
    return x.map(np.maximum(x.data, 0), x.data > 0)


def relu2(x: Tensor) -> Tensor:
    positive = np.maximum(x.data, 0)
    return x.map(positive * positive, 2 * positive)


def gelu(x: Tensor) -> Tensor:
    square = x.data * x.data
    inner = np.tanh(0.7978846 * x.data * (1 + 0.044715 * square))
    slope = 0.5 * (1 + inner) + 0.3989423 * x.data * (1 - inner**2) * (1 + 0.134145 * square)
    return x.map(0.5 * x.data * (1 + inner), slope)


def silu(x: Tensor) -> Tensor:
    gate = 0.5 * (1 + np.tanh(0.5 * x.data))
    return x.map(x.data * gate, gate * (1 + x.data * (1 - gate)))


def rmsnorm(x: Tensor) -> Tensor:
    scale = 1 / np.sqrt(np.mean(x.data**2, axis=-1, keepdims=True) + 1e-6)
    y = x.data * scale

    def pull(grad: Array) -> Array:
        return scale * (grad - y * np.mean(grad * y, axis=-1, keepdims=True))

    return Tensor(y, ((x, pull),))


def layernorm(x: Tensor) -> Tensor:
    def centred(array: Array) -> Array:
        return array - np.mean(array, axis=-1, keepdims=True)

    return rmsnorm(Tensor(centred(x.data), ((x, centred),)))


def norm(x: Tensor) -> Tensor:
    return {"none": lambda x: x, "layernorm": layernorm, "rmsnorm": rmsnorm}[NORM](x)


def softcap(x: Tensor) -> Tensor:
    inner = np.tanh(x.data / SOFTCAP)
    return x.map(SOFTCAP * inner, 1 - inner**2)


class Model:
    """Parameters by name, and the forward pass."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.parameters = {"wte": Tensor(rng.normal(0, 0.5, (256, EMBED)).astype(np.float32))}
        self.matrix("c_in", CONTEXT * EMBED, HIDDEN)
        for layer in range(DEPTH):
            self.matrix(f"c_fc{layer}", HIDDEN, EXPANSION * HIDDEN)
            if ACTIVATION == "swiglu":
                self.matrix(f"c_gate{layer}", HIDDEN, EXPANSION * HIDDEN)
            self.matrix(f"c_proj{layer}", EXPANSION * HIDDEN, HIDDEN)
        self.matrix("lm_head", HIDDEN, EMBED if TIE_EMBEDDINGS else 256)

    def matrix(self, name: str, rows: int, columns: int) -> None:
        weights = self.rng.normal(0, INIT_SCALE / np.sqrt(rows), (rows, columns))
        self.parameters[name] = Tensor(weights.astype(np.float32))

    def mlp(self, x: Tensor, layer: int) -> Tensor:
        up = x @ self.parameters[f"c_fc{layer}"]
        if ACTIVATION == "swiglu":
            up = silu(x @ self.parameters[f"c_gate{layer}"]) * up
        else:
            up = {"relu": relu, "gelu": gelu, "relu2": relu2}[ACTIVATION](up)
        return up @ self.parameters[f"c_proj{layer}"]

    def __call__(self, contexts: Array) -> Tensor:
        """Logits of the next byte: (batch, CONTEXT) bytes -> (batch, 256)."""
        x = embed(self.parameters["wte"], contexts) @ self.parameters["c_in"]
        for layer in range(DEPTH):
            y = self.mlp(norm(x), layer)
            x = x + y if RESIDUAL else y
        logits = norm(x) @ self.parameters["lm_head"]
        if TIE_EMBEDDINGS:
            logits = logits @ self.parameters["wte"].t()
        return softcap(logits) if SOFTCAP else logits


def loss_and_gradient(logits: Array, targets: Array) -> tuple[float, Array]:
    """Mean loss in bits per byte, and what minimising it (in nats, with z-loss) asks of logits."""
    peak = logits.max(axis=-1, keepdims=True)
    log_z = peak[:, 0] + np.log(np.exp(logits - peak).sum(axis=-1))
    rows = np.arange(len(targets))
    loss = np.mean(log_z - logits[rows, targets]) / np.log(2)
    gradient = np.exp(logits - log_z[:, None])
    if Z_LOSS:
        gradient *= 1 + 2 * Z_LOSS * log_z[:, None]
    gradient[rows, targets] -= 1
    return float(loss), gradient / np.float32(len(targets))


# Optimisers


def newton_schulz(gradient: Array) -> Array:
    """Roughly the nearest orthogonal matrix: five steps of a quintic iteration."""
    x = gradient / (np.linalg.norm(gradient) + 1e-7)
    x = x.T if (tall := x.shape[0] > x.shape[1]) else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if tall else x


class Optimizer:
    """Moves parameters; the matrices of the blocks (``c_...``) are what muon is for."""

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self.parameters = parameters
        self.first = {name: np.zeros_like(p.data) for name, p in parameters.items()}
        self.second = {name: np.zeros_like(p.data) for name, p in parameters.items()}
        self.steps = 0

    def step(self, scale: float) -> None:
        self.steps += 1
        for name, parameter in self.parameters.items():
            matrix = name.startswith("c_")
            kind = "adamw" if OPTIMIZER == "muon" and not matrix else OPTIMIZER
            rate = LEARNING_RATE[kind] * LR_SCALE * scale
            if WEIGHT_DECAY and matrix:
                parameter.data *= 1 - rate * WEIGHT_DECAY
            parameter.data -= np.float32(rate) * getattr(self, kind)(name, parameter.grad)
            parameter.grad = None

    def sgd(self, _: str, gradient: Array) -> Array:
        return gradient

    def momentum(self, name: str, gradient: Array) -> Array:
        self.first[name] = 0.9 * self.first[name] + gradient
        return self.first[name]

    def adamw(self, name: str, gradient: Array) -> Array:
        beta1, beta2 = BETAS
        self.first[name] = beta1 * self.first[name] + (1 - beta1) * gradient
        self.second[name] = beta2 * self.second[name] + (1 - beta2) * gradient**2
        first = self.first[name] / (1 - beta1**self.steps)
        second = self.second[name] / (1 - beta2**self.steps)
        return first / (np.sqrt(second) + 1e-8)

    def muon(self, name: str, gradient: Array) -> Array:
        self.first[name] = 0.95 * self.first[name] + gradient
        rows, columns = gradient.shape
        return newton_schulz(self.first[name]) * max(1, columns / rows) ** 0.5


def rate_at(progress: float) -> float:
    """What the learning rate is multiplied with after `progress` (0 to 1) of the budget."""
    if progress < WARMUP_RATIO:
        return progress / WARMUP_RATIO
    if SCHEDULE == "cosine":
        return 0.5 * (1 + np.cos(np.pi * progress))
    if SCHEDULE == "warmdown":
        return min(1.0, (1 - progress) / WARMDOWN_RATIO)
    return 1.0


# Training


def batches(data: Array, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    windows = np.lib.stride_tricks.sliding_window_view(data, CONTEXT + 1)
    while True:
        rows = windows[rng.integers(len(windows), size=BATCH)]
        yield rows[:, :-1], rows[:, -1]


def train(
    seed: int, data: Array, seconds: float = TIME_BUDGET, steps: int = STEP_BUDGET
) -> tuple[Model, int, float]:
    """Train for `seconds` of this process's time, or for `steps` where they are given.

    Returns:
        The model, how many steps it was trained, and its smoothed training loss in bits per byte.
    """
    rng = np.random.default_rng(seed)
    model = Model(rng)
    optimizer = Optimizer(model.parameters)
    started, smooth, done = time.process_time(), 8.0, 0
    for contexts, targets in batches(data, rng):
        progress = done / steps if steps else (time.process_time() - started) / seconds
        if progress >= 1:
            break
        logits = model(contexts)
        loss, gradient = loss_and_gradient(logits.data, targets)
        if not loss < 100:
            raise SystemExit(f"The loss is {loss} after {done} steps: training has diverged.")
        logits.backward(gradient)
        optimizer.step(rate_at(progress))
        smooth += (loss - smooth) * max(0.01, 1 / (done + 1))
        done += 1
    return model, done, smooth


def main() -> None:
    started = time.perf_counter()
    seed = int(os.environ.get("GITEXP_SEED") or secrets.randbelow(2**31))
    data = np.frombuffer(training_text(), dtype=np.uint8)
    before = time.process_time()
    model, steps, train_bpb = train(seed, data)
    training_seconds = time.process_time() - before
    arrays = {name: parameter.data for name, parameter in model.parameters.items()}
    np.savez(MODEL_FILE, **arrays)
    print("---")
    print(f"train_bpb:        {train_bpb:.6f}")
    print(f"training_seconds: {training_seconds:.1f}")
    print(f"total_seconds:    {time.perf_counter() - started:.1f}")
    print(f"total_tokens_M:   {steps * BATCH / 1e6:.3f}")
    print(f"num_steps:        {steps}")
    print(f"num_params_M:     {sum(array.size for array in arrays.values()) / 1e6:.3f}")
    print(f"depth:            {DEPTH}")
    print(f"seed:             {seed}")


def predict() -> None:
    """Answer evaluate.py: bytes come in on stdin, one for each of many texts at a time.

    The first eight bytes say how many texts there are. After each byte of them all, 256
    probabilities (float32) for the next byte of each go to stdout.
    """
    model = Model(np.random.default_rng(0))
    with np.load(MODEL_FILE) as arrays:
        for name, parameter in model.parameters.items():
            parameter.data = arrays[name]
    count = int.from_bytes(sys.stdin.buffer.read(8), "little")
    contexts = np.full((count, CONTEXT), ord("\n"), dtype=np.uint8)
    while len(column := sys.stdin.buffer.read(count)) == count:
        contexts = np.roll(contexts, -1, axis=1)
        contexts[:, -1] = np.frombuffer(column, dtype=np.uint8)
        logits = model(contexts).data.astype(np.float64)
        scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
        answer = scores / scores.sum(axis=-1, keepdims=True)
        sys.stdout.buffer.write(answer.astype(np.float32).tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    predict() if sys.argv[1:] == ["predict"] else main()
