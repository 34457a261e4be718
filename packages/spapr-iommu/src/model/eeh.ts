// VFIO_EEH_PE_OP on one PE. States: 0 normal, 1 reset active, 2 stopped, 4 DMA stopped only, 5 unavailable.
// Source: vfio_spapr_iommu_eeh_ioctl, arch/powerpc/kernel/eeh.c. A platform without EEH knows no PE: -ENODEV, before
// anything is copied in.
import { EINVAL, EIO, ENODEV } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import * as uapi from "../uapi.ts";
import type { PartitionableEndpoint } from "./pe.ts";
import type { TableGroup } from "./table-group.ts";

const SHORT: number = uapi.vfio_eeh_pe_op.offsets.op + 4;
const ERR_TYPES = 2;
const ERR_FUNC_MAX = 19;

/** State (positive) or 0, or -errno. */
export function eehPeOp(call: IoctlCall, group: TableGroup): number {
  const { platform, pe } = group;
  if (!platform.eehEnabled) return -ENODEV;
  const head = new DataView(call.arg.copyIn(SHORT).buffer);
  const argsz = head.getUint32(uapi.vfio_eeh_pe_op.offsets.argsz, true);
  const op = head.getUint32(uapi.vfio_eeh_pe_op.offsets.op, true);
  if (argsz < SHORT || head.getUint32(uapi.vfio_eeh_pe_op.offsets.flags, true) !== 0) return -EINVAL;
  switch (op) {
    case uapi.VFIO_EEH_PE_DISABLE:
      return 0;
    case uapi.VFIO_EEH_PE_ENABLE:
      pe.takeOver();
      return 0;
    case uapi.VFIO_EEH_PE_UNFREEZE_IO:
      if (pe.resetActive) return -EIO;
      pe.thawIo();
      return 0;
    case uapi.VFIO_EEH_PE_UNFREEZE_DMA:
      if (pe.resetActive) return -EIO;
      pe.thawDma();
      return 0;
    case uapi.VFIO_EEH_PE_GET_STATE:
      return stateOf(pe);
    case uapi.VFIO_EEH_PE_RESET_DEACTIVATE:
      pe.deassertReset();
      return 0;
    case uapi.VFIO_EEH_PE_RESET_HOT:
    case uapi.VFIO_EEH_PE_RESET_FUNDAMENTAL:
      pe.assertReset();
      return 0;
    case uapi.VFIO_EEH_PE_CONFIGURE:
      return 0;
    case uapi.VFIO_EEH_PE_INJECT_ERR:
      return inject(call, pe, argsz);
    default:
      return -EINVAL;
  }
}

function stateOf(pe: PartitionableEndpoint): number {
  if (pe.resetActive) return uapi.VFIO_EEH_PE_STATE_RESET;
  if (pe.ioStopped) return uapi.VFIO_EEH_PE_STATE_STOPPED;
  return pe.dmaStopped ? uapi.VFIO_EEH_PE_STATE_STOPPED_DMA : uapi.VFIO_EEH_PE_STATE_NORMAL;
}

function inject(call: IoctlCall, pe: PartitionableEndpoint, argsz: number): number {
  if (argsz < uapi.vfio_eeh_pe_op.size) return -EINVAL;
  const { err } = uapi.vfio_eeh_pe_op.decode(call.arg.copyIn(uapi.vfio_eeh_pe_op.size));
  if (err.type >= ERR_TYPES || err.func > ERR_FUNC_MAX) return -EINVAL;
  pe.freeze(`injected error, function ${err.func}`);
  return 0;
}
