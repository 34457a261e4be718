// What translates a group's DMA: implemented by the IOMMU drivers of the modelled host.

/** Translates and performs a group's DMA. Implemented by the IOMMU drivers of the modelled host. */
export interface IommuDomain {
  readonly name: string;
  /** False: no translation or no read permission for some byte. */
  read(hi: number, lo: number, into: Uint8Array): boolean;
  write(hi: number, lo: number, from: Uint8Array): boolean;
}
