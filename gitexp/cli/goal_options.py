"""What runs are judged by, as options: the goal metric and its direction."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitexp.cli.context import Context
    from gitexp.research.goal import GoalMetric


def add_goal_options(parser: ArgumentParser) -> None:
    """Declare the options for the direction."""
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument(
        "--min", dest="lower", action="store_const", const=True, help="lower is better"
    )
    direction.add_argument(
        "--max", dest="lower", action="store_const", const=False, help="higher is better"
    )


def asked_goal(args: Namespace, context: Context) -> GoalMetric:
    """Return the goal metric: as asked for, as set, or as the runs suggest.

    Raises:
        GitexpError: No run has that metric, or none has any.
        UsageError: A setting cannot be understood.
    """
    from gitexp.research.goal import goal_metric

    return goal_metric(context.memory, args.metric, args.lower)
