// Every way in which machine pc does not get its devices (pc-failures.ts): the error names cause, who, how much and the
// remedy, and nothing of what had been taken until then stays taken.
import { MinivmmError, O_RDWR } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import { type ModelledHost, modelHost } from "@minivmm/model-host";
import { describe, expect, it } from "vitest";
import { makeBox, spawn } from "./pc-bench.ts";
import { FAILURES, type Failure, NVME, vfio } from "./pc-failures.ts";

/** What is open, locked or alive of a process and of its VMs. */
function takenBy(process: ModelProcess, ...models: ModelledHost[]) {
  const { lockedPages, pinnedPages } = process.mm;
  const vms = models.reduce((sum, { kvm }) => sum + kvm.vms.size, 0);
  return { descriptors: process.fds.list(), lockedPages, pinnedPages, vms };
}

/** Groups that could be had by somebody else. */
function freeGroups(model: ModelledHost): number[] {
  const other = model.spawn();
  const free = [...model.vfio.groups.values()].filter(
    (group) => other.open(`/dev/vfio/${group.nodeName}`, O_RDWR) >= 0,
  );
  other.exit();
  return free.map(({ id }) => id);
}

function failureOf({ host = "desktop", options, process: how = {}, prepare, devices = [vfio(NVME)], kvm }: Failure) {
  const model = modelHost(host, options);
  const kvmModel = kvm === undefined ? model : modelHost(kvm);
  const process = spawn(model, how);
  const kvmProcess = kvm === undefined ? process : kvmModel.spawn();
  const prepared = prepare?.(model, process);
  const configs = typeof devices === "function" ? devices(prepared as number) : devices;
  const before = [takenBy(process, model, kvmModel), takenBy(kvmProcess), freeGroups(model)];
  let error: unknown;
  try {
    makeBox(process, configs, { kvmProcess }).close();
  } catch (caught) {
    error = caught;
  }
  const after = [takenBy(process, model, kvmModel), takenBy(kvmProcess), freeGroups(model)];
  model.close();
  kvmModel.close();
  return { error, before, after };
}

describe("pc failures", () => {
  it.each(FAILURES.map((each) => [each.what, each] as const))("pc failure: %s", (_what, failure) => {
    const { code, errno, says, helps, details = {} } = failure;
    const { error, before, after } = failureOf(failure);
    if (!(error instanceof MinivmmError)) throw error ?? new Error("nothing failed");
    expect({ code: error.code, errno: error.errno }).toEqual({ code, errno });
    for (const piece of says) expect(error.message).toMatch(piece);
    for (const piece of helps) expect(error.hint).toMatch(piece);
    expect(error.details ?? {}).toMatchObject(details);
    expect(`${error.message}${error.hint ?? ""}`).not.toMatch(/[\n\r]|undefined|null|NaN|\[object/);
    expect(after).toEqual(before);
  });
});
