"""Order statistics of repeated measurements."""


def quantile(ordered, share):
    """Linear between the two nearest of sorted values."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def spread(values):
    ordered = sorted(values)
    if not ordered:
        raise ValueError("expected at least one value, seen none")
    names = {"min": 0, "lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75, "max": 1}
    return {"count": len(ordered),
            **{name: quantile(ordered, share) for name, share in names.items()}}
