"""What was found out about machines, as part of a plan: it is refused when it would start something where that cannot run (docs/design.md §5)."""

from __future__ import annotations

from dataclasses import replace

from reconciler.engine.order import is_written
from reconciler.engine.situation import Situation
from reconciler.model.change import Plan, Refusal


def with_findings(plan: Plan, situation: Situation) -> Plan:
    """``plan`` with refusals for what it writes, and with warnings for remarks and for what stays as it is."""
    written = {c.address for c in plan.changes if c.desired is not None and is_written(c)}
    refusals, warnings = list(plan.refusals), list(plan.warnings)
    for finding in situation.findings:
        if finding.address in written and not finding.is_remark:
            refusals.append(Refusal("unfit host", finding.address, finding.what, finding.what_to_do))
        elif finding.address in written or situation.scope.selects(finding.address):
            # several gateways on one machine have a remark in common
            warnings.append(f"{finding.what}: {finding.what_to_do}")
    return replace(plan, refusals=tuple(refusals), warnings=tuple(dict.fromkeys(warnings)))
