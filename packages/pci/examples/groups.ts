// Describe a small host, let the modelled firmware place its functions, and see what can be given away separately.
import { PciTopology, type TopologyDescription } from "@minivmm/pci";
import { edu, memoryDisk, nvme } from "@minivmm/pci/devices";

const host: TopologyDescription = {
  domains: [
    {
      devices: [
        {
          at: "01.0",
          bridge: "root-port",
          driver: "pcieport",
          children: [{ at: "00.0", model: "nvme", driver: "vfio-pci" }],
        },
        {
          at: "02.0",
          bridge: "root-port",
          children: [
            {
              at: "00.0",
              bridge: "pcie-pci-bridge",
              children: [
                { at: "01.0", model: "edu" },
                { at: "02.0", model: "edu", driver: "edu" },
              ],
            },
          ],
        },
      ],
    },
  ],
};

const models = { edu: () => edu(), nvme: () => nvme({ disk: memoryDisk(4096) }) };
for (const grouping of ["acs", "pe"] as const) {
  using topology = PciTopology.fromDescription({ ...host, grouping }, { models });
  console.log(grouping === "acs" ? "type1 host:" : "sPAPR host:");
  for (const group of topology.groups) {
    const members = group.functions.map((fn) => `${fn.name}${fn.driver ? ` (${fn.driver})` : ""}`);
    console.log(`  group ${group.id}, ${group.viable ? "viable" : "not viable"}: ${members.join(", ")}`);
  }
  const disk = topology.get("0000:01:00.0");
  console.log(`  ${disk.name} BAR 0 at 0x${disk.bar(0)?.address.toString(16)}, resets: ${disk.resetMethods.join(" ")}`);
}
