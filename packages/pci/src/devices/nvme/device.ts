// The NVMe controller as a PCI function: configuration space, the register file in BAR 0, doorbells and interrupts.
// BAR 0 is 16 KiB: registers, doorbells from 0x1000, MSI-X table at 0x2000, pending bits at 0x3000.
// Source: NVM Express 1.4 sections 2 and 3. Registers are dwords; an 8-byte access is two of them, narrower reads get
// their part, narrower writes are ignored.
import type { BarWidth } from "../../bar.ts";
import { addAri } from "../../caps/extended.ts";
import { Msi } from "../../caps/msi.ts";
import { Msix } from "../../caps/msix.ts";
import { addPcie } from "../../caps/pcie.ts";
import { addPm } from "../../caps/pm.ts";
import { Sriov } from "../../caps/sriov.ts";
import type { ResetKind } from "../../config-space.ts";
import { PciDevice } from "../../device.ts";
import { PCI_CLASS_STORAGE_EXPRESS } from "../../registers.ts";
import { NvmeController } from "./controller.ts";
import { ERROR_INVALID_DOORBELL_REGISTER, ERROR_INVALID_DOORBELL_VALUE, EVENT_ERROR } from "./events.ts";
import * as regs from "./registers.ts";
import { type NvmeAdminQueues, type NvmeOptions, nvmeSettings } from "./settings.ts";

const ERROR_LOG = 1;
const DEVICE_ID = 0x0010;
const REGISTERS = { index: 0, type: "mem64", size: regs.BAR_SIZE, prefetchable: false } as const;
/** What a secondary controller has before the primary one assigns more: the interrupt of its admin queue. */
const VF_RESOURCES = { queues: 1, vectors: 1 } as const;

export class NvmeDevice extends PciDevice {
  readonly controller: NvmeController;
  /**
   * False: a secondary controller without resources. It shows CSTS.CFS and zeroes, and takes no register write; its
   * MSI-X table works. Virtual functions start like this.
   */
  online: boolean;
  readonly #virtual: boolean;
  readonly #leftQueues: NvmeAdminQueues;
  #cc = 0;
  #csts = 0;
  #aqa = 0;
  #asqLo = 0;
  #asqHi = 0;
  #acqLo = 0;
  #acqHi = 0;

  /** `virtual`: the device of a virtual function of a controller with these options. */
  constructor(options: NvmeOptions, virtual = false) {
    super({
      // Virtual functions show no ids; software knows them from the physical function.
      vendor: virtual ? 0xffff : (options.vendor ?? 0x1b36),
      device: virtual ? 0xffff : (options.device ?? DEVICE_ID),
      subsystemVendor: options.subsystemVendor ?? 0x1af4,
      subsystem: options.subsystem ?? 0x1100,
      classCode: PCI_CLASS_STORAGE_EXPRESS,
      revision: 2,
      interruptPin: 1,
      configSize: 4096,
    });
    const settings = nvmeSettings(virtual ? { ...options, ...VF_RESOURCES } : options);
    const { interrupts = "msix", sriov } = options;
    this.online = !virtual;
    this.#virtual = virtual;
    this.#leftQueues = (virtual ? undefined : options.adminQueues) ?? { attributes: 0, submission: 0, completion: 0 };
    this.#setAdminQueues();
    if (!virtual) this.addBar(REGISTERS);
    if (interrupts === "msix") {
      new Msix(this, { vectors: settings.vectors, bar: 0, table: regs.MSIX_TABLE, pba: regs.MSIX_PBA, at: 0x40 });
    } else if (interrupts === "msi") {
      new Msi(this, { vectors: settings.vectors });
    }
    if (sriov) addAri(this, { nextFunction: 1, at: 0x100 });
    if (sriov && !virtual) {
      new Sriov<PciDevice>(this, {
        totalVfs: sriov.vfs,
        vfDevice: options.device ?? DEVICE_ID,
        vfOffset: 1,
        vfStride: 1,
        bars: [REGISTERS],
        makeVf: () => new NvmeDevice(options, true),
        at: 0x120,
      });
    }
    addPcie(this, { flr: true, at: 0x80 });
    addPm(this, { noSoftReset: true, at: 0x60 });
    const self = this;
    this.controller = new NvmeController(
      {
        get dma() {
          return self.dma;
        },
        get mode() {
          return self.msix?.enabled ? "msix" : self.msi?.enabled ? "msi" : "pin";
        },
        get usableVectors() {
          return self.msix?.enabled ? self.msix.vectors : self.msi?.enabled ? self.msi.allowed : 1;
        },
        message: (vector) => this.signal(vector),
        pin: (level) => this.setIntx(level),
      },
      settings,
      options.disk,
    );
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    if (this.msix?.owns(bar, offset)) {
      this.msix.read(offset, width, out);
      return;
    }
    const word = this.#readRegister(offset & ~3);
    out[0] = width >= 4 ? word : (word >>> ((offset & 3) * 8)) & (width === 2 ? 0xffff : 0xff);
    out[1] = width === 8 ? this.#readRegister((offset & ~3) + 4) : 0;
  }

  writeBar(bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    if (width < 4 || offset & 3) return;
    if (!this.online && !this.msix?.owns(bar, offset)) return;
    if (offset >= regs.NVME_REG_DBS && offset < regs.MSIX_TABLE) {
      this.#doorbell(offset - regs.NVME_REG_DBS, lo >>> 0);
      return;
    }
    if (this.msix?.owns(bar, offset)) {
      this.msix.write(offset, width, lo, hi);
      return;
    }
    this.#writeRegister(offset, lo >>> 0);
    if (width === 8) this.#writeRegister(offset + 4, hi >>> 0);
  }

  override close(): void {
    this.controller.reset();
    // The disk is the subsystem's; the physical function has it last.
    if (!this.#virtual) this.controller.disk.close();
  }

  protected onReset(kind: ResetKind): void {
    // A virtual function that was away comes back without what it had been assigned.
    if (this.#virtual && kind === "power") this.online = false;
    this.controller.reset();
    this.#cc = 0;
    this.#csts = 0;
    if (kind === "power") this.#setAdminQueues();
  }

  /** The admin queue registers outlive every reset but that of power, as a controller reset leaves them alone. */
  #setAdminQueues(): void {
    const { attributes, submission, completion } = this.#leftQueues;
    this.#aqa = attributes;
    this.#asqLo = submission;
    this.#asqHi = 0;
    this.#acqLo = completion;
    this.#acqHi = 0;
  }

  #readRegister(offset: number): number {
    if (!this.online) return offset === regs.NVME_REG_CSTS ? regs.NVME_CSTS_CFS : 0;
    switch (offset) {
      case regs.NVME_REG_CAP:
        return regs.CAP_LO;
      case regs.NVME_REG_CAP + 4:
        return regs.CAP_HI | (this.controller.settings.commandSets ? regs.CAP_HI_COMMAND_SETS : 0);
      case regs.NVME_REG_VS:
        return this.controller.settings.version;
      case regs.NVME_REG_INTMS:
      case regs.NVME_REG_INTMC:
        return this.controller.interrupts.mask >>> 0;
      case regs.NVME_REG_CC:
        return this.#cc;
      case regs.NVME_REG_CSTS:
        return this.#csts | (this.controller.fatal ? regs.NVME_CSTS_CFS : 0);
      case regs.NVME_REG_AQA:
        return this.#aqa;
      case regs.NVME_REG_ASQ:
        return this.#asqLo;
      case regs.NVME_REG_ASQ + 4:
        return this.#asqHi;
      case regs.NVME_REG_ACQ:
        return this.#acqLo;
      case regs.NVME_REG_ACQ + 4:
        return this.#acqHi;
      default:
        return 0;
    }
  }

  #writeRegister(offset: number, value: number): void {
    switch (offset) {
      case regs.NVME_REG_INTMS:
        this.#setInterruptMask(this.controller.interrupts.mask | value);
        break;
      case regs.NVME_REG_INTMC:
        this.#setInterruptMask(this.controller.interrupts.mask & ~value);
        break;
      case regs.NVME_REG_CC:
        this.#writeCc(value);
        break;
      case regs.NVME_REG_AQA:
        this.#aqa = value;
        break;
      case regs.NVME_REG_ASQ:
        this.#asqLo = value;
        break;
      case regs.NVME_REG_ASQ + 4:
        this.#asqHi = value;
        break;
      case regs.NVME_REG_ACQ:
        this.#acqLo = value;
        break;
      case regs.NVME_REG_ACQ + 4:
        this.#acqHi = value;
        break;
    }
  }

  #setInterruptMask(mask: number): void {
    const { controller } = this;
    controller.interrupts.mask = mask;
    controller.run();
  }

  /** Enable, disable and shut down: the three things that CC starts. */
  #writeCc(value: number): void {
    const old = this.#cc;
    this.#cc = value;
    const enable = (value & regs.NVME_CC_ENABLE) !== 0;
    const enabled = (old & regs.NVME_CC_ENABLE) !== 0;
    if (enable && !enabled) this.#enable(value);
    if (!enable && enabled) {
      this.controller.reset();
      this.#csts &= ~(regs.NVME_CSTS_RDY | regs.NVME_CSTS_SHST_MASK);
    }
    if (regs.ccShutdown(value) !== 0 && regs.ccShutdown(old) === 0) {
      this.controller.shutdown();
      this.#csts |= regs.NVME_CSTS_SHST_CMPLT;
    }
  }

  #enable(cc: number): void {
    const ready = this.controller.enable(cc, {
      aqa: this.#aqa,
      asqHi: this.#asqHi,
      asqLo: this.#asqLo,
      acqHi: this.#acqHi,
      acqLo: this.#acqLo,
    });
    this.#csts &= ~regs.NVME_CSTS_SHST_MASK;
    if (ready) this.#csts |= regs.NVME_CSTS_RDY;
  }

  #doorbell(offset: number, value: number): void {
    const { controller } = this;
    if (!(this.#csts & regs.NVME_CSTS_RDY)) return;
    const id = offset >> 3;
    const isHead = (offset & 4) !== 0;
    const queue = isHead ? controller.completionQueues[id] : controller.submissionQueues[id];
    if (!queue) this.#badDoorbell(ERROR_INVALID_DOORBELL_REGISTER);
    else if (value >= queue.size) this.#badDoorbell(ERROR_INVALID_DOORBELL_VALUE);
    else if (isHead) controller.ringCompletion(controller.completionQueues[id]!, value);
    else controller.ringSubmission(controller.submissionQueues[id]!, value);
  }

  #badDoorbell(info: number): void {
    this.controller.events.report(EVENT_ERROR, info, ERROR_LOG);
    this.controller.run();
  }
}
