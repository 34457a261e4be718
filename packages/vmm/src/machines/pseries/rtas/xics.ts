// ibm,set-xive, ibm,get-xive, ibm,int-on, ibm,int-off: the source side of the interrupt controller.
// Source: PAPR 2.7 section 7.3.10.
import type { Xics } from "../xics.ts";
import { RTAS_OUT_PARAM_ERROR, RTAS_OUT_SUCCESS, type RtasTable } from "./table.ts";
import { RTAS_IBM_GET_XIVE, RTAS_IBM_INT_OFF, RTAS_IBM_INT_ON, RTAS_IBM_SET_XIVE } from "./tokens.ts";

export function registerXics(table: RtasTable, xics: Xics): void {
  table.register({
    token: RTAS_IBM_SET_XIVE,
    name: "ibm,set-xive",
    nargs: 3,
    nret: 1,
    handler: (frame) => {
      const [irq, server, priority] = [frame.arg(0), frame.arg(1), frame.arg(2)];
      if (!xics.valid(irq) || server !== 0 || priority > 0xff) return RTAS_OUT_PARAM_ERROR;
      xics.route(irq, server, priority);
      return RTAS_OUT_SUCCESS;
    },
  });
  table.register({
    token: RTAS_IBM_GET_XIVE,
    name: "ibm,get-xive",
    nargs: 1,
    nret: 3,
    handler: (frame) => {
      const irq = frame.arg(0);
      if (!xics.valid(irq)) return RTAS_OUT_PARAM_ERROR;
      frame.setRet(1, xics.serverOf(irq));
      frame.setRet(2, xics.priorityOf(irq));
      return RTAS_OUT_SUCCESS;
    },
  });
  const toggle = (token: number, name: string, act: (irq: number) => void): void =>
    table.register({
      token,
      name,
      nargs: 1,
      nret: 1,
      handler: (frame) => {
        const irq = frame.arg(0);
        if (!xics.valid(irq)) return RTAS_OUT_PARAM_ERROR;
        act(irq);
        return RTAS_OUT_SUCCESS;
      },
    });
  toggle(RTAS_IBM_INT_OFF, "ibm,int-off", (irq) => xics.mask(irq));
  toggle(RTAS_IBM_INT_ON, "ibm,int-on", (irq) => xics.unmask(irq));
}
