// EEH of the groups in a container: the state of their PE, thawing, resets. Recovery goes state() = STOPPED, thawIo(),
// collect what the device says, resetHot(), at least 100 ms, resetDeactivate(), configure(), thawDma().
// Raw results: 0 or a state, or -errno (-ENODEV without EEH).
import type { Host } from "@minivmm/host";
import * as uapi from "../uapi.ts";

export interface EehErr {
  /** 0: 32-bit, 1: 64-bit addresses. */
  type: number;
  /** Kind of access that fails, 0 to 19. */
  func: number;
  addr?: bigint;
  mask?: bigint;
}

export class EehPe {
  readonly #host: Host;
  readonly #fd: number;
  readonly #request: number;

  constructor(host: Host, fd: number, request: number) {
    this.#host = host;
    this.#fd = fd;
    this.#request = request;
  }

  enable(): number {
    return this.#op(uapi.VFIO_EEH_PE_ENABLE);
  }
  disable(): number {
    return this.#op(uapi.VFIO_EEH_PE_DISABLE);
  }
  /** VFIO_EEH_PE_STATE_*. */
  state(): number {
    return this.#op(uapi.VFIO_EEH_PE_GET_STATE);
  }
  thawIo(): number {
    return this.#op(uapi.VFIO_EEH_PE_UNFREEZE_IO);
  }
  thawDma(): number {
    return this.#op(uapi.VFIO_EEH_PE_UNFREEZE_DMA);
  }
  resetHot(): number {
    return this.#op(uapi.VFIO_EEH_PE_RESET_HOT);
  }
  resetFundamental(): number {
    return this.#op(uapi.VFIO_EEH_PE_RESET_FUNDAMENTAL);
  }
  resetDeactivate(): number {
    return this.#op(uapi.VFIO_EEH_PE_RESET_DEACTIVATE);
  }
  configure(): number {
    return this.#op(uapi.VFIO_EEH_PE_CONFIGURE);
  }
  injectError(err: EehErr): number {
    return this.#op(uapi.VFIO_EEH_PE_INJECT_ERR, { addr: 0n, mask: 0n, ...err });
  }

  #op(op: number, err: Required<EehErr> = { type: 0, func: 0, addr: 0n, mask: 0n }): number {
    const { size } = uapi.vfio_eeh_pe_op;
    return this.#host.ioctl(this.#fd, this.#request, uapi.vfio_eeh_pe_op.encode({ argsz: size, op, err }));
  }
}
