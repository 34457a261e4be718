// A hot reset of a slot with three functions: planned, refused while one of them is not owned, then done.
import { ModelKernel } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { passive } from "@minivmm/pci/devices";
import { HotResetError, missingGroups, planHotReset, runHotReset } from "@minivmm/pci-hotreset";
import { registerHotReset } from "@minivmm/pci-hotreset/model";
import { VFIO_TYPE1v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { Type1Iommu, VfioCore } from "@minivmm/vfio-core/model";

// A modelled host: a network card with three functions, each in an IOMMU group of its own. The last has no driver yet.
const port = () =>
  passive({
    vendor: 0x8086,
    device: 0x10c9,
    classCode: 0x020000,
    express: {},
    bars: [{ index: 0, type: "mem32", size: 0x4000 }],
  });
const kernel = new ModelKernel();
const children = [
  { at: "00.0", device: port(), multifunction: true, driver: "vfio-pci" },
  { at: "00.1", device: port(), multifunction: true, driver: "vfio-pci" },
  { at: "00.2", device: port(), multifunction: true },
];
const topology = PciTopology.fromDescription({
  domains: [{ devices: [{ at: "01.0", bridge: "root-port", driver: "pcieport", children }] }],
});
for (const fn of topology.functions) kernel.sysfs.dir(`/sys/bus/pci/devices/${fn.name}`);
const core = new VfioCore(kernel, topology);
core.registerIommuDriver(new Type1Iommu(kernel, { topology }));
registerHotReset(core);
const groupOf = (bdf: string) => topology.get(bdf).group?.id ?? 0;

// The user. On a real host: `const host = realHost();` of @minivmm/host, and iommuGroupOf(host, bdf) for the group.
const host = kernel.spawn();
using container = VfioContainer.open(host);
using first = VfioGroup.open(host, groupOf("0000:01:00.0"));
first.setContainer(container);
container.setIommu(VFIO_TYPE1v2_IOMMU);
using device = first.device("0000:01:00.0");

function attempt(owned: VfioGroup[]): void {
  const plan = planHotReset(host, device); // resets nothing
  console.log(`hits ${plan.affected.map(({ bdf }) => bdf).join(", ")}; groups missing: ${missingGroups(plan, owned)}`);
  try {
    runHotReset(plan, owned);
    console.log("done");
  } catch (error) {
    if (!(error instanceof HotResetError)) throw error;
    console.log(`${error.code}: ${error.message}\n  ${error.hint}`);
  }
}

attempt([first]); // a function has no driver of VFIO
core.bind("0000:01:00.2", "vfio-pci");
using second = VfioGroup.open(host, groupOf("0000:01:00.1"));
attempt([first, second]); // the third could belong to somebody else
using third = VfioGroup.open(host, groupOf("0000:01:00.2"));
attempt([first, second, third]); // a group that is only held is enough
