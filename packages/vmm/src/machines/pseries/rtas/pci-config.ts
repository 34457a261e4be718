// ibm,read-pci-config and ibm,write-pci-config: configuration space through firmware, because a partition does not
// reach the bridge itself. Source: PAPR 2.7 section 7.3.5.
import { PHB_BUID_HI, PHB_BUID_LO } from "../memory-map.ts";
import type { Phb } from "../phb.ts";
import type { RtasFrame } from "./frame.ts";
import { RTAS_OUT_HW_ERROR, RTAS_OUT_PARAM_ERROR, RTAS_OUT_SUCCESS, type RtasTable } from "./table.ts";
import { RTAS_IBM_READ_PCI_CONFIG, RTAS_IBM_WRITE_PCI_CONFIG } from "./tokens.ts";

/** Whether arguments 1 and 2 name the machine's host bridge. */
export function namesPhb(frame: RtasFrame): boolean {
  return frame.arg(1) === PHB_BUID_HI && frame.arg(2) === PHB_BUID_LO;
}

export function registerPciConfig(table: RtasTable, phb: Phb): void {
  table.register({
    token: RTAS_IBM_READ_PCI_CONFIG,
    name: "ibm,read-pci-config",
    nargs: 4,
    nret: 2,
    handler: (frame) => {
      if (!namesPhb(frame)) return RTAS_OUT_PARAM_ERROR;
      const value = phb.readConfig(frame.arg(0), frame.arg(3));
      if (value < 0) return RTAS_OUT_HW_ERROR;
      frame.setRet(1, value);
      return RTAS_OUT_SUCCESS;
    },
  });
  table.register({
    token: RTAS_IBM_WRITE_PCI_CONFIG,
    name: "ibm,write-pci-config",
    nargs: 5,
    nret: 1,
    handler: (frame) => {
      if (!namesPhb(frame)) return RTAS_OUT_PARAM_ERROR;
      return phb.writeConfig(frame.arg(0), frame.arg(3), frame.arg(4)) ? RTAS_OUT_SUCCESS : RTAS_OUT_HW_ERROR;
    },
  });
}
