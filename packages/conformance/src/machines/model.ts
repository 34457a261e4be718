// The modelled machine: for each case a new modelled host, like the one that the case was recorded on, with its kernel.
// Invariants: nothing survives a case; time stands still but for what a case waits.

import { O_RDWR } from "@minivmm/host";
import { ManualClock, type ModelProcess } from "@minivmm/host/model";
import { type HostDescription, type ModelHostOptions, type ModelledHost, modelHost } from "@minivmm/model-host";
import { VFIO_TYPE1v2_IOMMU, vfioIoctls } from "@minivmm/vfio-core";
import type { CaseNeeds, Machine, RecordedMachine, Stage } from "../machine.ts";
import { ModelActor } from "./model-actor.ts";
import { hostOf } from "./recorded-hosts.ts";

/** Options of each host; kernel and page size are by default those of the recording. */
export interface ModelMachineOptions extends Omit<ModelHostOptions, "clock"> {
  /** Default: what is nearest to the machine of the recording. */
  readonly host?: string | HostDescription;
}

/** A machine whose hosts are modelled. */
export function modelMachine(options: ModelMachineOptions = {}): Machine {
  return new ModelMachine(options);
}

class ModelMachine implements Machine {
  readonly name: string;
  readonly #options: ModelMachineOptions;

  constructor(options: ModelMachineOptions) {
    const { host, profile } = options;
    const given = typeof host === "string" ? host : host?.name;
    this.name = `modelled ${given ?? "machine of the recording"}${profile ? `, Linux ${profile}` : ""}`;
    this.#options = options;
  }

  enter(recorded: RecordedMachine, needs: CaseNeeds): Stage {
    const { host = hostOf(recorded), ...options } = this.#options;
    const clock = new ManualClock();
    const { pageSize } = recorded;
    const model = modelHost(host, { profile: profileOf(recorded), pageSize, ...options, clock });
    prepare(model, recorded);
    return new ModelStage(model, clock, needs);
  }
}

class ModelStage implements Stage {
  readonly actor: ModelActor;
  readonly #host: ModelledHost;
  readonly #clock: ManualClock;

  constructor(host: ModelledHost, clock: ManualClock, { capabilities }: CaseNeeds) {
    this.#host = host;
    this.#clock = clock;
    const process = host.spawn({ capabilities, nofile: 1024 });
    // Standard input, output and errors.
    for (let fd = 0; fd < 3; fd++) process.open("/dev/null", O_RDWR);
    this.actor = new ModelActor(process);
  }

  wait(ms: number): void {
    this.#clock.advance(ms);
  }

  close(): void {
    this.#host.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Devices are bound to VFIO as the recorder bound them, by name, and some have been in use before. */
function prepare(model: ModelledHost, { devices, used = [] }: RecordedMachine): void {
  const boot = model.spawn({ capabilities: ["SYS_RAWIO"] });
  for (const { name, bdf, driver } of devices) {
    if (driver === "vfio-pci") boot.writeFile(`/sys/bus/pci/devices/${bdf}/driver_override`, driver);
    if (used.includes(name)) useDevice(boot, bdf);
  }
  boot.exit();
}

/** Opens a device through its group, if it can be had; the process's end closes it. */
function useDevice(boot: ModelProcess, bdf: string): void {
  const ioctls = vfioIoctls(boot.arch);
  const group = boot.readlink(`/sys/bus/pci/devices/${bdf}/iommu_group`);
  const fd = boot.open(`/dev/vfio/${String(group).split("/").at(-1)}`, O_RDWR);
  const container = boot.open("/dev/vfio/vfio", O_RDWR);
  boot.ioctl(fd, ioctls.VFIO_GROUP_SET_CONTAINER, new Uint8Array(new Int32Array([container]).buffer));
  boot.ioctl(container, ioctls.VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
  const device = boot.ioctl(fd, ioctls.VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode(`${bdf}\0`));
  for (const each of [device, fd, container]) boot.close(each);
}

function profileOf({ release }: RecordedMachine): "6.12" | "6.1" {
  return release.startsWith("6.1.") ? "6.1" : "6.12";
}
