"""The tables of ``docs/solvers.md``, made from the code so that they cannot go stale.

    python docs/tables.py        # writes them into the page

A test compares the page with what this script makes. A new tableau needs nothing here; a new class of solver
needs a line in ``CLASSES``.
"""

from pathlib import Path

import sciode.solve as package
from sciode.solve.dense import dense, embedded_order, real_stability
from sciode.solve.tableau import Tableau
from sciode.solve.tableaus import TABLEAUS

PAGE = Path(__file__).parent / "solvers.md"

USE = {
    "euler": "to see what goes on",
    "midpoint": "few, cheap steps",
    "heun": "few, cheap steps; the sampler of EDM",
    "heun3": "fixed steps, order 3",
    "kutta3": "fixed steps, order 3; rhoRK of DEIS",
    "bosh3": "loose tolerances, 1e-2 to 1e-4",
    "ssprk3": "shocks: keeps what one Euler step keeps",
    "rk4": "fixed steps",
    "dopri5": "the common choice, as in torchdiffeq",
    "tsit5": "default under step control: smaller errors than dopri5",
    "dopri8": "tight tolerances, below 1e-8",
    "etd1": "rough and stiff; DDIM in a diffusion chart",
    "etd2": "stiff PDE, two calls",
    "dpm2": "DPM-Solver-2 in a diffusion chart",
    "ho3": "stiff PDE, order 3; DPM-Solver-3 in a diffusion chart",
    "krogstad4": "default with given steps: stiff PDE, else classical RK4",
    "krogstad43": "stiff PDE under step control",
    "coxmatthews4": "the original ETDRK4",
}

CLASSES = {
    "RungeKutta": ("any tableau of the first table", "the tableau's", "nodes", "-", "everything without noise"),
    "Adams": ("exponential Adams, orders 1 to 8", "1 to 8", "1", "-", "costly drifts; diffusion samplers"),
    "Recurrence": ("rows of numbers, written out", "as written", "as written", "ito", "compiled samplers"),
    "Implicit": ("diagonally implicit", "the tableau's", "as Newton asks", "-", "stiff without diagonal L"),
    "Reversible": ("a one-step method in two copies", "the base's", "twice the base's", "the base's",
                   "exact gradients in constant memory"),
    "Copies": ("both copies of a reversible method", "the base's", "twice the base's", "-", "solves to be undone"),
    "EulerMaruyama": ("Euler--Maruyama", "", "1 f, 1 G", "ito", "any Ito noise"),
    "Milstein": ("Milstein", "", "1 f, 2 G (Stratonovich 3)", "both", "commutative noise, order 1"),
    "StochasticHeun": ("Heun", "", "2 f, 2 G", "stratonovich", "any Stratonovich noise; step control"),
    "StochasticRungeKutta": ("Roessler's SRA and SRI", "", "2 or 3 f, 2 or 4 G", "ito", "order 3/2"),
    "ReversibleHeun": ("reversible Heun", "", "1 f, 1 G", "stratonovich", "neural SDE: constant memory"),
    "ExponentialEulerMaruyama": ("exact linear part, exact noise", "", "1 f, 1 G", "ito", "stiff; fractional"),
}  # fmt: skip

ADJOINTS = {
    "Direct": ("all steps", "exact", "default; short solves, training"),
    "Checkpointed": ("a few states", "exact", "long solves with given steps"),
    "Continuous": ("saved states, or O(1)", "to the tolerance", "smooth equations; second best to the exact ones"),
    "ReversibleAdjoint": ("O(1)", "exact", "with Reversible or ReversibleHeun: neural SDE, deep solves"),
}


def tableaus() -> str:
    """Lay out every tableau: all numbers are computed."""
    lines = [
        "| name | order | calls a step | error estimate | dense output | real stability | use |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, table in TABLEAUS.items():
        exponential = any(part.order for row in (*table.stages, table.update) for entry in row for part in entry)
        estimate = "-" if table.embedded is None else f"order {embedded_order(table)}"
        cells = [
            f"`{name.upper()}`{' (exp.)' if exponential else ''}",
            str(table.order),
            _calls(table),
            estimate,
            f"order {dense(table).order}",
            f"{real_stability(table):.2f}",
            USE.get(name, ""),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _calls(table: Tableau) -> str:
    used = max(i + 1 for i, entry in enumerate(table.update) if entry)
    controlled = len(table.nodes) - table.reuses_last
    return str(used) if table.embedded is None or used == controlled else f"{used}; {controlled} under control"


def solvers() -> list[str]:
    """Name every exported class that takes steps."""
    exported = {name: getattr(package, name) for name in package.__all__}
    return sorted(
        name
        for name, thing in exported.items()
        if isinstance(thing, type) and hasattr(thing, "step") and hasattr(thing, "plan") and name != "Solver"
    )


def classes() -> str:
    """Lay out every class of solvers; kinds of noise and strong orders are read from the class."""
    lines = [
        "| class | what | order | calls a step | calculus | noise: strong order | use |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in sorted(solvers(), key=list(CLASSES).index):
        what, order, calls, calculus, use = CLASSES[name]
        calls = "the tableau's" if calls == "nodes" else calls
        cells = [f"`{name}`", what, order or "see noise", calls, calculus, _noise(name), use]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _noise(name: str) -> str:
    kind = getattr(package, name)
    if name == "StochasticRungeKutta":
        kind = kind(package.stochastic_tableaus.SRI1)
    strong = getattr(kind, "strong", None)
    if isinstance(strong, property) or strong is None:
        return "the base's" if name == "Reversible" else "none"
    return ", ".join(f"{noise} {order:g}" for noise, order in strong.items())


def adjoints() -> str:
    """Lay out the adjoints that are exported."""
    lines = ["| adjoint | memory | gradient | use |", "|---|---|---|---|"]
    known = [name for name in ADJOINTS if name in package.__all__]
    lines += [f"| `{name}` | {' | '.join(ADJOINTS[name])} |" for name in known]
    return "\n".join(lines)


def page() -> str:
    """Return the page with fresh tables."""
    text = PAGE.read_text()
    for name, made in (("tableaus", tableaus()), ("classes", classes()), ("adjoints", adjoints())):
        head, _, rest = text.partition(f"<!-- {name} -->\n")
        _, _, tail = rest.partition(f"\n<!-- end {name} -->")
        text = f"{head}<!-- {name} -->\n{made}\n<!-- end {name} -->{tail}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page())
