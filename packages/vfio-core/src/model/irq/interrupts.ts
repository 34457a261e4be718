/**
 * The interrupts of one open vfio-pci device: at most one of INTx, MSI and MSI-X is active; ERR and REQ are separate.
 *
 * Source: drivers/vfio/pci/vfio_pci_intrs.c. This file decides which index may do what; the others do it.
 */
import { ENOTTY } from "@minivmm/host";
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from "../../uapi.ts";
import { Intx } from "./intx.ts";
import { MessageInterrupts } from "./messages.ts";
import { Notifier } from "./notifier.ts";
import { IRQ_NONE, type IrqDevice, type IrqOwner, type IrqRequest } from "./types.ts";

export class Interrupts implements IrqOwner {
  /** Active index: INTx, MSI or MSI-X, or IRQ_NONE. */
  mode: number = IRQ_NONE;
  readonly device: IrqDevice;
  readonly intx: Intx;
  readonly messages: MessageInterrupts;
  readonly err: Notifier;
  readonly req: Notifier;

  constructor(device: IrqDevice) {
    this.device = device;
    this.intx = new Intx(this);
    this.messages = new MessageInterrupts(this);
    this.err = new Notifier(device.profile.strictNotifiers);
    this.req = new Notifier(device.profile.strictNotifiers);
    device.fn.device.irq = {
      intx: (level) => this.intx.line(level),
      msi: (vector) => this.messages.deliver(vector),
    };
  }

  /** SET_IRQS after validation: result, -errno, or a positive number of vectors that could be had. */
  apply(request: IrqRequest): number {
    const action = request.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    switch (request.index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
        if (action === VFIO_IRQ_SET_ACTION_MASK) return this.intx.setMask(request);
        if (action === VFIO_IRQ_SET_ACTION_UNMASK) return this.intx.setUnmask(request);
        return action === VFIO_IRQ_SET_ACTION_TRIGGER ? this.intx.setTrigger(request) : -ENOTTY;
      case VFIO_PCI_MSI_IRQ_INDEX:
      case VFIO_PCI_MSIX_IRQ_INDEX:
        return action === VFIO_IRQ_SET_ACTION_TRIGGER ? this.messages.setTrigger(request) : -ENOTTY;
      case VFIO_PCI_ERR_IRQ_INDEX:
        return action === VFIO_IRQ_SET_ACTION_TRIGGER ? this.err.setTrigger(request) : -ENOTTY;
      case VFIO_PCI_REQ_IRQ_INDEX:
        return action === VFIO_IRQ_SET_ACTION_TRIGGER ? this.req.setTrigger(request) : -ENOTTY;
      default:
        return -ENOTTY;
    }
  }

  /** Last close: everything off, all eventfds dropped. */
  close(): void {
    if (this.mode === VFIO_PCI_INTX_IRQ_INDEX) this.intx.disable();
    else if (this.mode !== IRQ_NONE) this.messages.disable();
    this.err.clear();
    this.req.clear();
  }
}
