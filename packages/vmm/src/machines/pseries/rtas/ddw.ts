// The four calls of dynamic DMA windows. Source: PAPR 2.7 section 7.3.11 (LoPAR "DDW"), QEMU 7.2 spapr_rtas_ddw.c.
// The endpoint that the configuration address names must exist; all functions of the bridge share its windows.
import { DDW_PAGE_MASK, type DmaWindows } from "../ddw.ts";
import type { Phb } from "../phb.ts";
import type { RtasFrame } from "./frame.ts";
import { namesPhb } from "./pci-config.ts";
import { RTAS_OUT_HW_ERROR, RTAS_OUT_PARAM_ERROR, RTAS_OUT_SUCCESS, type RtasTable } from "./table.ts";
import {
  RTAS_IBM_CREATE_PE_DMA_WINDOW,
  RTAS_IBM_QUERY_PE_DMA_WINDOW,
  RTAS_IBM_REMOVE_PE_DMA_WINDOW,
  RTAS_IBM_RESET_PE_DMA_WINDOW,
} from "./tokens.ts";

/** `onCreated` hears of every window that a guest opens. */
export function registerDdw(table: RtasTable, phb: Phb, windows: DmaWindows, onCreated: () => void): void {
  const knows = (frame: RtasFrame): boolean => namesPhb(frame) && phb.endpointAt(frame.arg(0)) !== undefined;

  table.register({
    token: RTAS_IBM_QUERY_PE_DMA_WINDOW,
    name: "ibm,query-pe-dma-window",
    nargs: 3,
    nret: [5, 6],
    handler: (frame) => {
      if (!knows(frame)) return RTAS_OUT_PARAM_ERROR;
      const results = [windows.available, windows.largestBlock, DDW_PAGE_MASK, 0];
      // The six-result form gives the largest block in two words.
      if (frame.nret === 6) results.splice(1, 0, 0);
      results.forEach((value, index) => {
        frame.setRet(index + 1, value);
      });
      return RTAS_OUT_SUCCESS;
    },
  });
  table.register({
    token: RTAS_IBM_CREATE_PE_DMA_WINDOW,
    name: "ibm,create-pe-dma-window",
    nargs: 5,
    nret: 4,
    handler: (frame) => {
      if (!knows(frame)) return RTAS_OUT_PARAM_ERROR;
      const made = windows.create(frame.arg(3), frame.arg(4));
      if (!made.ok) return made.reason === "parameter" ? RTAS_OUT_PARAM_ERROR : RTAS_OUT_HW_ERROR;
      onCreated();
      frame.setRet(1, made.liobn);
      frame.setRet(2, made.busHi);
      frame.setRet(3, made.busLo);
      return RTAS_OUT_SUCCESS;
    },
  });
  table.register({
    token: RTAS_IBM_REMOVE_PE_DMA_WINDOW,
    name: "ibm,remove-pe-dma-window",
    nargs: 1,
    nret: 1,
    handler: (frame) => (windows.remove(frame.arg(0)) ? RTAS_OUT_SUCCESS : RTAS_OUT_PARAM_ERROR),
  });
  table.register({
    token: RTAS_IBM_RESET_PE_DMA_WINDOW,
    name: "ibm,reset-pe-dma-window",
    nargs: 3,
    nret: 1,
    handler: (frame) => {
      if (!knows(frame)) return RTAS_OUT_PARAM_ERROR;
      windows.reset();
      return RTAS_OUT_SUCCESS;
    },
  });
}
