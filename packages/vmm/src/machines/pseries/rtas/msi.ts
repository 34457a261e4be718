// ibm,change-msi and ibm,query-interrupt-source-number: firmware hands out message interrupts and programs them into
// the function. Source: PAPR 2.7 sections 7.3.10.5.1 and .2; answers to odd requests as QEMU 7.2 hw/ppc/spapr_pci.c.
import type { PciEndpoint } from "../../../pci/endpoint.ts";
import { MSI_WINDOW_HI, MSI_WINDOW_LO } from "../memory-map.ts";
import type { MsiAllocator } from "../msi-allocator.ts";
import type { Phb } from "../phb.ts";
import type { RtasFrame } from "./frame.ts";
import { namesPhb } from "./pci-config.ts";
import { RTAS_OUT_HW_ERROR, RTAS_OUT_PARAM_ERROR, RTAS_OUT_SUCCESS, type RtasTable } from "./table.ts";
import { RTAS_IBM_CHANGE_MSI, RTAS_IBM_QUERY_INTERRUPT_SOURCE_NUMBER } from "./tokens.ts";

const RTAS_CHANGE_FN = 1;
const RTAS_CHANGE_MSI_FN = 3;
const RTAS_CHANGE_MSIX_FN = 4;
const RTAS_TYPE_MSI = 1;
const RTAS_TYPE_MSIX = 2;
const TRIGGER_EDGE = 1;

export function registerMsi(table: RtasTable, phb: Phb, allocator: MsiAllocator): void {
  table.register({
    token: RTAS_IBM_CHANGE_MSI,
    name: "ibm,change-msi",
    nargs: 6,
    nret: [3, 4],
    handler: (frame) => {
      const endpoint = namesPhb(frame) ? phb.endpointAt(frame.arg(0)) : undefined;
      return endpoint === undefined ? RTAS_OUT_PARAM_ERROR : changeMsi(frame, endpoint, allocator);
    },
  });
  table.register({
    token: RTAS_IBM_QUERY_INTERRUPT_SOURCE_NUMBER,
    name: "ibm,query-interrupt-source-number",
    nargs: 4,
    nret: 3,
    handler: (frame) => {
      const block = namesPhb(frame) ? allocator.blockOf(frame.arg(0)) : undefined;
      const index = frame.arg(3);
      if (block === undefined || index >= block.count) return RTAS_OUT_PARAM_ERROR;
      frame.setRet(1, block.first + index);
      frame.setRet(2, TRIGGER_EDGE);
      return RTAS_OUT_SUCCESS;
    },
  });
}

function kindFor(fn: number, endpoint: PciEndpoint): "msi" | "msix" | undefined {
  if (fn === RTAS_CHANGE_FN) return endpoint.msiVectors > 0 || endpoint.msixVectors === 0 ? "msi" : "msix";
  if (fn === RTAS_CHANGE_MSI_FN) return endpoint.msiVectors > 0 ? "msi" : undefined;
  if (fn === RTAS_CHANGE_MSIX_FN) return endpoint.msixVectors > 0 ? "msix" : undefined;
  return undefined;
}

function changeMsi(frame: RtasFrame, endpoint: PciEndpoint, allocator: MsiAllocator): number {
  const address = frame.arg(0);
  const kind = kindFor(frame.arg(3), endpoint);
  const asked = frame.arg(4);
  if (kind === undefined) return RTAS_OUT_PARAM_ERROR;
  const old = allocator.blockOf(address);
  if (asked === 0) {
    if (old === undefined) return RTAS_OUT_HW_ERROR;
    endpoint.programMessages(old.kind, 0, 0, 0, 0);
    allocator.release(address);
    frame.setRet(1, 0);
    return RTAS_OUT_SUCCESS;
  }
  const most = kind === "msi" ? endpoint.msiVectors : endpoint.msixVectors;
  const block = most > 0 ? allocator.allocate(address, Math.min(asked, most), kind, endpoint.name) : undefined;
  if (block === undefined) return RTAS_OUT_HW_ERROR;
  endpoint.programMessages(kind, MSI_WINDOW_HI, MSI_WINDOW_LO, block.first, block.count);
  frame.setRet(1, block.count);
  frame.setRet(2, frame.arg(5) + 1);
  frame.setRet(3, kind === "msi" ? RTAS_TYPE_MSI : RTAS_TYPE_MSIX);
  return RTAS_OUT_SUCCESS;
}
