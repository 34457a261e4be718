// A modelled host with two edu devices in groups of their own, KVM, and an IOMMU whose coherency the test chooses.
import { ENOTTY } from "@minivmm/host";
import { type KernelProfile, ModelKernel } from "@minivmm/host/model";
import { KvmSystem } from "@minivmm/kvm";
import { ModelKvm, type ModelVm } from "@minivmm/kvm/model";
import { PciTopology } from "@minivmm/pci";
import { edu } from "@minivmm/pci/devices";
import { VFIO_DMA_CC_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { type IommuDriver, VfioCore } from "@minivmm/vfio-core/model";
import { installKvmVfio, type SpaprTceLink } from "../src/model/index.ts";

export const IOMMU = 1;

export interface TestHostOptions {
  profile?: KernelProfile;
  coherent?: boolean;
  spaprTce?: SpaprTceLink;
}

export function testHost(options: TestHostOptions = {}) {
  const coherent = options.coherent ?? true;
  const kernel = new ModelKernel({ profile: options.profile ?? "6.12" });
  const topology = PciTopology.fromDescription({
    domains: [{ devices: ["01.0", "02.0"].map((at) => ({ at, device: edu(), driver: "vfio-pci" })) }],
  });
  const core = new VfioCore(kernel, topology, { enforcesSnoop: coherent });
  const checkExtension = (ext: number): number => (ext === IOMMU || (ext === VFIO_DMA_CC_IOMMU && coherent) ? 1 : 0);
  const driver: IommuDriver = {
    name: "test",
    allowsNoiommu: false,
    checkExtension: (ext) => (ext === IOMMU ? 1 : 0),
    open: () => ({
      attachGroup: () => undefined,
      detachGroup: () => undefined,
      ioctl: () => -ENOTTY,
      checkExtension,
      release: () => undefined,
    }),
  };
  core.registerIommuDriver(driver);
  const kvm = new ModelKvm(kernel);
  const deviceOf = installKvmVfio(kvm, options.spaprTce ? { spaprTce: options.spaprTce } : {});
  const process = kernel.spawn();
  const [a, b] = [...core.groups.keys()] as [number, number];
  const newVm = () => {
    const vm = KvmSystem.open(process).createVm();
    return { vm, model: [...kvm.vms].at(-1) as ModelVm };
  };
  const open = (id: number) => VfioGroup.open(process, id);
  const attach = (group: VfioGroup) => {
    const container = VfioContainer.open(process);
    group.setContainer(container);
    container.setIommu(IOMMU);
    return container;
  };
  return { kernel, core, kvm, process, deviceOf, groups: { a, b }, newVm, open, attach };
}

export type TestHost = ReturnType<typeof testHost>;
