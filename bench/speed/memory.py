"""Peak memory of a process that only trains with the library, against the plan that was made
before anything was allocated."""

from turns import Missing


def measure(start, workloads):
    """The interpreter's own memory is subtracted; the peak is what the system says. `start` makes a
    process of the library over random weights."""
    rows = []
    for workload in workloads:
        row = {"name": workload.name}
        rows.append(row)
        try:
            runner = start(workload)
        except Missing as reason:
            row["missing"] = str(reason)
            continue
        runner.run(2)
        seen = runner.report()
        runner.stop()
        row |= {"plan": seen["plan"], "peak_bytes": seen["peak_bytes"]}
        if seen["peak_bytes"] is None:
            row["missing"] = "this system does not tell a process's peak memory"
        else:
            row["ratio"] = seen["peak_bytes"] / seen["plan"]["total"]
    return rows
