"""Tasks by name, with the losses that suit each and the name of its score."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A kind of question that a network is trained to answer.

    Attributes
    ----------
    name : str
    losses : tuple of str
        Names of the losses that suit the task, the usual one first.
    score : str
        Name of the score that `losses.Loss.score` returns.
    """

    name: str
    losses: tuple[str, ...]
    score: str

    @property
    def loss(self) -> str:
        """The usual loss."""
        return self.losses[0]


TASKS = {
    task.name: task
    for task in (
        Task("classification", ("softmax",), "accuracy"),
        Task("multilabel", ("logistic",), "accuracy"),
        Task("regression", ("squared", "huber", "poisson"), "R2"),
    )
}


def format_score(value: float) -> str:
    """Return a score as people read it: four digits after the point."""
    return f"{value:.4f}"


def task_of(loss: str) -> Task:
    """Return the task that a loss is for.

    Examples
    --------
    >>> from truesparse.common.tasks import task_of
    >>> task_of("huber").score
    'R2'
    """
    return next(task for task in TASKS.values() if loss in task.losses)
