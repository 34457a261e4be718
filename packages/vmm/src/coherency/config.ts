// What a caller asks of the checker of DMA, whatever the machine. It is off unless it is asked for.
import type { DmaWatch } from "@minivmm/pci";
import type { CoherencyReport } from "./report.ts";

export interface CoherencyConfig {
  /** Called with the first occurrence of each mistake, when it happens. */
  readonly report?: (report: CoherencyReport) => void;
}

/** Of machine pseries. */
export interface PseriesCoherencyConfig extends CoherencyConfig {
  /** The machine's IOMMU makes DMA snoop whatever devices ask for, so that none can miss a cache. Default false. */
  readonly snoopControl?: boolean;
  /** A host that tells of the DMA of its functions, as modelled ones do: calls the watch, or nobody with null. */
  readonly observeDma?: (watch: DmaWatch | null) => void;
}
