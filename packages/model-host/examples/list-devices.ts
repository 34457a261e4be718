// A whole Linux host with an IOMMU, in a few lines: what `lspci` and /sys would show on it.
import { modelHost } from "@minivmm/model-host";

using host = modelHost("power9");
const process = host.spawn();
for (const bdf of process.readdir("/sys/bus/pci/devices") as string[]) {
  const at = `/sys/bus/pci/devices/${bdf}`;
  const text = (name: string): string =>
    new TextDecoder().decode(process.readFile(`${at}/${name}`) as Uint8Array).trim();
  const driver = process.readlink(`${at}/driver`);
  const group = process.readlink(`${at}/iommu_group`);
  const last = (link: string | number): string => (typeof link === "string" ? (link.split("/").at(-1) ?? "") : "-");
  console.log(`${bdf}  ${text("vendor")}:${text("device")}  driver ${last(driver)}  group ${last(group)}`);
}
process.exit();
