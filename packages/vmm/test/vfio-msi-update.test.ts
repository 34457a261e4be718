// A guest that moves an MSI to another CPU writes the address first and the data next: what KVM is told in between.
import { modelHost } from "@minivmm/model-host";
import { PCI_CAP_ID_MSI } from "@minivmm/pci";
import { describe, expect, it } from "vitest";
import type { IrqDelivery } from "../src/pci/irq-delivery.ts";
import { VfioPciEndpoint } from "../src/pci/vfio-pci.ts";
import { VfioSession } from "../src/pci/vfio-session.ts";

const EDU = "0000:00:05.0";

function edu(later?: (run: () => void) => void) {
  const host = modelHost("desktop").spawn({ memlock: Number.POSITIVE_INFINITY });
  const session = new VfioSession(host, undefined, (container, type) => {
    container.setIommu(type as number);
    return { start: () => {}, addGroup: () => {}, close: () => {} };
  });
  const told: string[] = [];
  const delivery: IrqDelivery = {
    vector: (source, vector) => ({
      fd: host.eventfd(0, 0),
      sync: () => told.push(`${source.addressLo(vector).toString(16)} ${source.data(vector).toString(16)}`),
      close: () => undefined,
    }),
    pin: () => undefined,
  };
  const endpoint = new VfioPciEndpoint("edu", host, session.open(EDU), { delivery: () => delivery, later });
  endpoint.connect({ intx: () => {}, message: () => {} });
  let at = endpoint.readConfig(0x34, 1);
  while (endpoint.readConfig(at, 1) !== PCI_CAP_ID_MSI) at = endpoint.readConfig(at + 1, 1);
  endpoint.writeConfig(at + 4, 4, 0xfee0_1000);
  endpoint.writeConfig(at + 12, 2, 0x22);
  endpoint.writeConfig(at + 2, 2, endpoint.readConfig(at + 2, 2) | 1);
  const last = (): string | undefined => told.at(-1);
  return { endpoint, at, told, last };
}

describe("vmm passthrough: an MSI that moves", () => {
  it("is told with its new address and its new data together", () => {
    const { endpoint, at, told, last } = edu(() => {});
    expect(last()).toBe("fee01000 22");
    told.length = 0;
    endpoint.writeConfig(at + 4, 4, 0xfee0_0000);
    endpoint.writeConfig(at + 8, 4, 0);
    expect(told).toEqual([]);
    endpoint.writeConfig(at + 12, 2, 0x23);
    expect(new Set(told)).toEqual(new Set(["fee00000 23"]));
  });

  it("is told after a while when no data follows, and not once the function is closed", () => {
    const waiting: (() => void)[] = [];
    const { endpoint, at, told } = edu((run) => waiting.push(run));
    told.length = 0;
    endpoint.writeConfig(at + 4, 4, 0xfee0_0000);
    expect(waiting).toHaveLength(1);
    waiting[0]?.();
    expect(told).toEqual(["fee00000 22"]);
    endpoint.writeConfig(at + 4, 4, 0xfee0_1000);
    endpoint.close();
    told.length = 0;
    waiting[1]?.();
    expect(told).toEqual([]);
  });

  it("is told at once where nobody keeps time", () => {
    const { endpoint, at, last } = edu();
    endpoint.writeConfig(at + 4, 4, 0xfee0_0000);
    expect(last()).toBe("fee00000 22");
  });
});
