/**
 * INTx: a level interrupt that masks itself when it fires and is unmasked by the user, or by an eventfd (resample).
 *
 * State: active, eventfd or none, masked, unmask eventfd or none. With working INTx disable the function itself is
 * masked (COMMAND bit 10) and the line may be shared; otherwise the host's interrupt controller masks the line.
 * A line still asserted at unmask stays masked and is signalled again. Source: vfio_pci_intrs.c, virqfd.c.
 */
import { EBUSY, EINVAL, ENODEV, ENOTTY } from "@minivmm/host";
import type { EventFd } from "@minivmm/host/model";
import {
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_INTX_IRQ_INDEX,
} from "../../uapi.ts";
import { PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, PCI_STATUS, PCI_STATUS_INTERRUPT } from "../config/header.ts";
import { eventFdFile, eventFdOf } from "../eventfd.ts";
import { VirqFd } from "../virqfd.ts";
import { firstFd } from "./request-data.ts";
import { IRQ_NONE, type IrqOwner, type IrqRequest } from "./types.ts";

export class Intx {
  readonly #owner: IrqOwner;
  #trigger: EventFd | null = null;
  #masked = false;
  #unmask: VirqFd | null = null;
  /** The pin, as the function drives it. */
  #level = false;

  constructor(owner: IrqOwner) {
    this.#owner = owner;
  }

  get masked(): boolean {
    return this.#masked;
  }
  get #active(): boolean {
    return this.#owner.mode === VFIO_PCI_INTX_IRQ_INDEX;
  }
  /** The user set INTx disable in configuration space. */
  get #userDisabled(): boolean {
    return this.#owner.device.config.intxDisabled;
  }

  /** The function changed its pin. */
  line(level: boolean): void {
    this.#level = level;
    if (level) this.#interrupt();
  }

  setTrigger(request: IrqRequest): number {
    const { flags, start, count, data } = request;
    if (this.#active && count === 0 && flags & VFIO_IRQ_SET_DATA_NONE) {
      this.disable();
      return 0;
    }
    const otherMode = !this.#active && this.#owner.mode !== IRQ_NONE;
    if (otherMode || start !== 0 || count !== 1) return -EINVAL;
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
      const fd = firstFd(data);
      const trigger = fd >= 0 ? eventFdOf(request.process, fd) : null;
      if (!this.#active) return this.#enable(trigger);
      this.#trigger = trigger;
      return 0;
    }
    if (!this.#active) return -EINVAL;
    if (flags & VFIO_IRQ_SET_DATA_NONE || data[0] !== 0) this.#signal();
    return 0;
  }

  setMask(request: IrqRequest): number {
    const { flags, start, count, data } = request;
    if (!this.#active || start !== 0 || count !== 1) return -EINVAL;
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) return -ENOTTY;
    if (flags & VFIO_IRQ_SET_DATA_NONE || data[0] !== 0) this.mask();
    return 0;
  }

  setUnmask(request: IrqRequest): number {
    const { flags, start, count, data } = request;
    if (!this.#active || start !== 0 || count !== 1) return -EINVAL;
    if (flags & VFIO_IRQ_SET_DATA_NONE || (flags & VFIO_IRQ_SET_DATA_BOOL && data[0] !== 0)) this.unmask();
    if (!(flags & VFIO_IRQ_SET_DATA_EVENTFD)) return 0;
    const fd = firstFd(data);
    if (fd < 0) {
      this.#dropUnmask();
      return 0;
    }
    const file = eventFdFile(request.process, fd);
    if (this.#unmask?.open) return -EBUSY;
    this.#unmask = new VirqFd(file, () => this.unmask());
    return 0;
  }

  mask(): void {
    if (!this.#active) {
      if (this.#owner.device.pci23) this.#hardwareDisable(true);
      return;
    }
    if (this.#masked) return;
    this.#masked = true;
    if (this.#owner.device.pci23) this.#hardwareDisable(true);
  }

  unmask(): void {
    if (!this.#active) {
      if (this.#owner.device.pci23) this.#hardwareDisable(false);
      return;
    }
    if (!this.#masked || this.#userDisabled) return;
    if (this.#asserted) {
      this.#signal();
      return;
    }
    this.#masked = false;
    if (this.#owner.device.pci23) this.#hardwareDisable(false);
  }

  disable(): void {
    this.#owner.device.lines.release(this.#owner.device.fn.gsi);
    this.#dropUnmask();
    this.#trigger = null;
    this.#masked = false;
    this.#owner.mode = IRQ_NONE;
  }

  #enable(trigger: EventFd | null): number {
    const { device } = this.#owner;
    if (device.config.interruptPin === 0) return -ENODEV;
    this.#masked = this.#userDisabled;
    if (device.pci23) this.#hardwareDisable(this.#masked);
    const requested = device.lines.request(device.fn.gsi, device.pci23);
    if (requested !== 0) return requested;
    this.#trigger = trigger;
    this.#owner.mode = VFIO_PCI_INTX_IRQ_INDEX;
    if (this.#asserted) this.#interrupt();
    return 0;
  }

  #interrupt(): void {
    if (!this.#active || this.#masked) return;
    this.#masked = true;
    if (this.#owner.device.pci23) this.#hardwareDisable(true);
    this.#signal();
  }

  get #asserted(): boolean {
    const { device } = this.#owner;
    if (!device.pci23) return this.#level;
    return (device.fn.readConfig(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT) !== 0;
  }

  #signal(): void {
    if (!this.#userDisabled) this.#trigger?.signal();
  }

  #hardwareDisable(on: boolean): void {
    const { fn } = this.#owner.device;
    const command = fn.readConfig(PCI_COMMAND, 2);
    const wanted = on ? command | PCI_COMMAND_INTX_DISABLE : command & ~PCI_COMMAND_INTX_DISABLE;
    if (wanted !== command) fn.writeConfig(PCI_COMMAND, 2, wanted);
  }

  #dropUnmask(): void {
    this.#unmask?.close();
    this.#unmask = null;
  }
}
