// The modelled kernel with hot reset behind the calls of sequences: raw ioctls, and the client's plan.
import { ENOSPC } from "@minivmm/host";
import { VfioDevice, VfioGroup } from "@minivmm/vfio-core";
import { VfioDeviceFile, VfioGroupFile } from "@minivmm/vfio-core/model";
import type { Kernel } from "../../../vfio-core/test/sequences/calls.ts";
import { ModelledKernel } from "../../../vfio-core/test/sequences/modelled.ts";
import * as hot from "../../src/index.ts";
import { type HotResetCalls, listed, PLAN_BLOCKED, PLAN_NOT_OWNED } from "./calls.ts";
import { sequenceHost } from "./host.ts";

export class ModelledHotReset extends ModelledKernel implements HotResetCalls {
  readonly #ioctls: hot.HotResetIoctls;

  constructor(kernel: Kernel) {
    super(kernel, { host: sequenceHost(kernel) });
    this.#ioctls = hot.hotResetIoctls(this.host.kernel.arch);
  }

  hotResetInfo(p: number, fd: number, room: number): number {
    const { size } = hot.vfio_pci_dependent_device;
    const arg = new Uint8Array(hot.vfio_pci_hot_reset_info.size + room * size);
    hot.vfio_pci_hot_reset_info.encode({ argsz: arg.length }, arg);
    const result = this.process(p).ioctl(fd, this.#ioctls.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, arg);
    const { count } = hot.vfio_pci_hot_reset_info.decode(arg);
    if (result === -ENOSPC && count <= room) throw new Error(`no room for ${count} functions in ${room}`);
    if (result < 0) return result;
    let sum = 0;
    for (let place = 0; place < count; place++) {
      const at = hot.vfio_pci_hot_reset_info.size + place * size;
      const { group_id, bus, devfn } = hot.vfio_pci_dependent_device.decode(arg, at);
      sum += listed(place, group_id, bus, devfn);
    }
    return sum;
  }

  hotReset(p: number, fd: number, proof: readonly number[]): number {
    const arg = new Uint8Array(hot.vfio_pci_hot_reset.size + 4 * proof.length);
    hot.vfio_pci_hot_reset.encode({ argsz: arg.length, count: proof.length }, arg);
    arg.set(new Uint8Array(Int32Array.from(proof).buffer), hot.vfio_pci_hot_reset.size);
    return this.process(p).ioctl(fd, this.#ioctls.VFIO_DEVICE_PCI_HOT_RESET, arg);
  }

  plannedReset(p: number, fd: number, groups: readonly number[]): number {
    const process = this.process(p);
    const file = process.fileOf(fd);
    if (!(file?.ops instanceof VfioDeviceFile)) throw new Error("plans are of devices");
    const held = groups.map((each) => {
      const { ops } = process.fileOf(each) ?? {};
      if (!(ops instanceof VfioGroupFile)) throw new Error("plans are carried out with groups");
      return VfioGroup.open(process, ops.group.id, each);
    });
    try {
      hot.runHotReset(hot.planHotReset(process, new VfioDevice(process, fd, file.ops.device.name)), held);
      return 0;
    } catch (error) {
      if (!(error instanceof hot.HotResetError)) throw error;
      if (error.code === "BLOCKED") return PLAN_BLOCKED;
      return error.code === "NOT_OWNED" ? PLAN_NOT_OWNED : -(error.errno ?? 0);
    }
  }
}
