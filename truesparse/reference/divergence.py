"""Picture: the largest difference of each quantity over the steps, in tolerances."""

from typing import Any

from truesparse.plots.display import GREY, Display, grid, style

# Ending of the name of what is compared after an update.
UPDATED = " after the update"
# What is compared once, at the end.
TEST_OUTPUT = "test output"
# Smaller differences, 0 among them, are drawn at this height.
_FLOOR = 1e-6
_CEILING = 1e12


class DivergenceDisplay(Display):
    """The largest difference of each quantity, one panel a case.

    Parameters
    ----------
    panels : dict of str to dict
        By case, steps and ratios of each quantity, as (step, ratio) pairs.

    Examples
    --------
    >>> display = DivergenceDisplay({"set": {"loss": [(1, 0.1), (2, 30.0)]}})
    >>> display.shape
    (1, 1)
    """

    def __init__(self, panels: dict[str, dict[str, list[tuple[int, float]]]]):
        self.panels = panels

    @classmethod
    def from_result(cls, result: dict[str, Any]) -> "DivergenceDisplay":
        """Make the display from what `check.check` returns.

        Parameters
        ----------
        result : dict
            Cases that could not be compared are left out.
        """
        return cls(
            {
                case: {
                    quantity: figures["ratios"]
                    for quantity, figures in report["quantities"].items()
                }
                for case, report in result["cases"].items()
                if "quantities" in report
            }
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return grid(max(len(self.panels), 1))

    def _draw(self, axes: list[Any]) -> None:
        # One style for a quantity, in all panels; after an update it has crosses.
        names = {each.removesuffix(UPDATED) for q in self.panels.values() for each in q}
        styles = {each: style(index) for index, each in enumerate(sorted(names))}
        handles: dict[str, Any] = {}
        for ax, (case, quantities) in zip(axes, self.panels.items(), strict=False):
            for quantity, entries in quantities.items():
                steps = [step for step, _ in entries]
                sizes = [min(max(size, _FLOOR), _CEILING) for _, size in entries]
                of = quantity.removesuffix(UPDATED)
                look = styles[of]
                if of != quantity:
                    ax.plot(steps, sizes, "x", color=look["color"])
                    continue
                (handles[of],) = ax.plot(steps, sizes, marker=".", **look)
            ax.axhline(1.0, color=GREY, linewidth=0.8)
            ax.set_yscale("log")
            ax.set_title(case, loc="left", fontsize="medium")
            ax.set_xlabel("step")
            ax.set_ylabel("difference / tolerance")
        for ax in axes[len(self.panels) :]:
            ax.set_axis_off()
        if handles:
            ordered = sorted(handles)
            axes[0].figure.legend(
                [handles[each] for each in ordered],
                ordered,
                loc="outside lower center",
                ncols=4,
                frameon=False,
                fontsize="small",
            )
