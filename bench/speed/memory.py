"""Peak memory of a process that only trains with the library, against the plan that was made
before anything was allocated."""

import case
from workloads import SHAPES


def measure(library, machine, workloads):
    """The interpreter's own memory is subtracted; the peak is what the system says."""
    rows = []
    for workload in workloads:
        row = {"name": workload.name}
        try:
            seen = case.measure(library, shape=SHAPES[workload.model].fields(), steps=2,
                                rank=workload.rank, batch=workload.batch,
                                sequence=workload.sequence, precision=workload.precision,
                                threads=machine.threads)
        except RuntimeError as error:
            row["missing"] = str(error)
        else:
            row |= {"plan": seen["plan"], "peak_bytes": seen["peak_bytes"]}
            if seen["peak_bytes"] is None:
                row["missing"] = "this system does not tell a process's peak memory"
            else:
                row["ratio"] = seen["peak_bytes"] / seen["plan"]["total"]
        rows.append(row)
    return rows
