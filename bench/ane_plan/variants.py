"""Other plans of the same step: what each change would save. Of these only AdamW's moments in bf16 are
built: an option of sessions."""

from dataclasses import replace

from engine import Program


def ops(plan, change):
    return plan.rewrite(lambda use: replace(use, program=use.program.rewrite(change)))


def grouped(layers):
    """So many layers in a program that has one; what lies between them is still written."""
    def change(plan):
        if plan.layers_a_program > 1:
            return plan

        def group(use):
            if use.phase == "loss" or use.evaluations < layers:
                return use
            return replace(use, program=Program(use.program.name, use.program.ops * layers),
                           evaluations=use.evaluations / layers)
        return plan.rewrite(group)
    return change


def half_moments(plan):
    """Both of AdamW's moments in bf16: eight bytes of a parameter less, where they are late four in
    the first sweep and eight in the second."""
    late = plan.late_elements
    return plan.change(update=plan.update - 8 * (plan.trained - plan.first_trained) + 4 * late,
                       first_update=plan.first_update - 8 * plan.first_trained,
                       late=plan.late - 8 * late)


def cpu_gradients(plan):
    """The CPU's matrix unit makes the gradients of the layers beside the engine."""
    flops = 0.0

    def take(use):
        nonlocal flops
        if use.phase != "backward":
            return use
        gone = [op for op in use.program.ops if op.tag.endswith("gradient")]
        flops += use.evaluations * sum(op.flops for op in gone)
        return replace(use, program=use.program.rewrite(lambda op: None if op in gone else op))

    changed = plan.rewrite(take)
    return changed.change(background_flops=flops)


def int8_constants(plan):
    """Frozen weights in one byte. Their products stay in fp16."""
    def halve(op):
        return replace(op, outer=op.outer / 2) if op.tag == "weights" and op.convolution else op
    return ops(plan, halve)


CHANGES = {
    "2 layers a program": grouped(2),
    "optimizer state in bf16": half_moments,
    "layers' gradients on the CPU": cpu_gradients,
    "int8 constants": int8_constants,
}

# Built, as options of a session.
OPTIONS = ("optimizer state in bf16",)

# Worth building where they save time, each on top of those before.
PROPOSED = ("optimizer state in bf16", "2 layers a program")


def sensitivity(plan, chip):
    """Milliseconds that each change alone saves."""
    before = plan.total(chip)
    return {name: (before - change(plan).total(chip)) * 1e3 for name, change in CHANGES.items()}


def combined(plan, chip):
    """Milliseconds of the step after each further change that saves any, and the last plan."""
    result = [("as it is", plan.total(chip) * 1e3)]
    for name in PROPOSED:
        changed = CHANGES[name](plan)
        if changed.total(chip) < plan.total(chip):
            plan = changed
        result.append((name, plan.total(chip) * 1e3))
    return result, plan


def time_by_op(plan, chip):
    """Milliseconds of the engine by phase and kind of op, the longest first."""
    times = {}
    for use in plan.uses:
        kinds = [(op.name.split()[0] + (f" ({op.tag})" if op.tag else ""), op.seconds(chip))
                 for op in use.program.ops] + [("dispatch", chip.dispatch.value)]
        for kind, seconds in kinds:
            key = f"{use.phase}: {kind}"
            times[key] = times.get(key, 0.0) + use.evaluations * seconds * 1e3
    return dict(sorted(times.items(), key=lambda item: -item[1]))
