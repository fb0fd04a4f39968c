"""Train a small neural network on scikit-learn's handwritten digits, and record the run.

The 1,797 images come with scikit-learn. One run takes about two seconds::

    python digits.py --lr 0.1 --hidden 64
"""

import argparse

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from gitexp import Experiment

ACTIVATION = "relu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lr", type=float, default=0.03, help="learning rate")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=32, help="units in the hidden layer")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    train_x, val_x, train_y, val_y = train_test_split(
        images / 16, labels, test_size=0.25, random_state=0, stratify=labels
    )
    model = MLPClassifier(
        (args.hidden,),
        activation=ACTIVATION,
        solver="sgd",
        learning_rate_init=args.lr,
        batch_size=args.batch_size,
        random_state=args.seed,
    )
    params = vars(args) | {"activation": ACTIVATION}
    with Experiment("digits", params=params, seed=args.seed, tags=["digits", "mlp"]) as exp:
        for epoch in range(args.epochs):
            model.partial_fit(train_x, train_y, classes=range(10))
            acc = float(model.score(val_x, val_y))
            exp.track({"epoch": epoch, "loss": float(model.loss_), "acc": acc}, step=epoch)
    print(f"lr {args.lr:g}, hidden {args.hidden}: validation accuracy {acc:.4f}")


if __name__ == "__main__":
    main()
