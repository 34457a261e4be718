// The report of `minivmm attrs` on a VM that runs. Loaded when somebody asks for it: a guest does not wait for it.
import type { Vm, VmSummary } from "@minivmm/vmm";
import type { HostRequest } from "../options/host.ts";
import { renderAttrs } from "../render/attrs.ts";
import type { Style } from "../render/style.ts";
import { reportPages } from "./attrs-report.ts";
import { runningFacts } from "./running-facts.ts";

/** Text with a final newline. Rejects with VmmError VM_STATE for a VM that has ended. */
export async function runningReport(vm: Vm<VmSummary>, host: HostRequest, style: Style): Promise<string> {
  const modelled = host.kind === "model";
  const title = modelled ? `modelled host ${host.spec.name}` : "this machine";
  return renderAttrs(reportPages(runningFacts(await vm.attributes(), title, modelled)), style);
}
